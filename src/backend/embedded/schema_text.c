#include "backend/embedded/schema_text.h"

#include <stddef.h>

/* Times are Unix milliseconds by the wall clock, because processes share them. */
#define NOW_MS "CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"
/* QE_EMBEDDED_BLOCKED_MS */
#define BLOCKED "9000000000000000"

/* Two habits keep receiving cheap: `held` stands in the index, so that messages in flight are
 * counted without touching a row; and receipt always has 16 bytes, so that SQLite overwrites a
 * delivered row in place instead of writing a large body anew. */
static const char s_tables[] =
    "CREATE TABLE queues ("
    " id INTEGER PRIMARY KEY,"
    " name TEXT NOT NULL UNIQUE,"
    " visibility_timeout_ms INTEGER NOT NULL DEFAULT 30000,"
    " retention_ms INTEGER NOT NULL DEFAULT 345600000,"
    " delay_ms INTEGER NOT NULL DEFAULT 0,"
    " ordered INTEGER NOT NULL DEFAULT 0,"
    " deduplication_window_ms INTEGER NOT NULL DEFAULT 300000,"
    " dead_letter_queue TEXT,"
    " max_receives INTEGER NOT NULL DEFAULT 0,"
    " messages INTEGER NOT NULL DEFAULT 0,"
    " bytes INTEGER NOT NULL DEFAULT 0,"
    " published INTEGER NOT NULL DEFAULT 0,"
    " delivered INTEGER NOT NULL DEFAULT 0,"
    " acknowledged INTEGER NOT NULL DEFAULT 0,"
    " redelivered INTEGER NOT NULL DEFAULT 0) STRICT;"
    "CREATE TABLE messages ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " queue_id INTEGER NOT NULL,"
    " visible_at INTEGER NOT NULL,"
    " due_at INTEGER NOT NULL,"
    " enqueued_at INTEGER NOT NULL,"
    " sent_at INTEGER NOT NULL,"
    " held INTEGER NOT NULL DEFAULT 0,"
    " in_order INTEGER NOT NULL DEFAULT 0,"
    " receives INTEGER NOT NULL DEFAULT 0,"
    " receipt BLOB NOT NULL DEFAULT (zeroblob(16)),"
    " group_id TEXT NOT NULL DEFAULT '',"
    " deduplication_id TEXT NOT NULL DEFAULT '',"
    " correlation_id TEXT NOT NULL DEFAULT '',"
    " reply_to TEXT NOT NULL DEFAULT '',"
    " attributes TEXT CHECK (attributes IS NULL OR json_type(attributes) = 'object'),"
    " body BLOB NOT NULL) STRICT;"
    "CREATE INDEX messages_by_visibility ON messages (queue_id, visible_at, held);"
    "CREATE INDEX messages_by_age ON messages (queue_id, enqueued_at);"
    "CREATE INDEX messages_by_group ON messages (queue_id, group_id) WHERE in_order = 1;"
    "CREATE TABLE deduplication ("
    " queue_id INTEGER NOT NULL,"
    " deduplication_id TEXT NOT NULL,"
    " message_id INTEGER NOT NULL,"
    " expires_at INTEGER NOT NULL,"
    " PRIMARY KEY (queue_id, deduplication_id)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX deduplication_by_expiry ON deduplication (expires_at);"
    "CREATE TABLE receivers ("
    " queue_id INTEGER NOT NULL,"
    " receiver_id INTEGER NOT NULL,"
    " seen_at INTEGER NOT NULL,"
    " PRIMARY KEY (queue_id, receiver_id)) STRICT, WITHOUT ROWID;";

/* Another message of the new message's ordered group is in the queue already. */
#define HAS_OLDER                                                                                  \
    "EXISTS (SELECT 1 FROM messages WHERE queue_id = new.queue_id AND group_id = new.group_id"     \
    " AND in_order = 1 AND id <> new.id)"
/* The next of the group becomes deliverable when the one that could be delivered goes. */
#define UNBLOCK_NEXT                                                                               \
    "UPDATE messages SET visible_at = due_at WHERE visible_at = " BLOCKED                          \
    " AND id = (SELECT min(id) FROM messages WHERE queue_id = old.queue_id"                        \
    " AND group_id = old.group_id AND in_order = 1);"

/* One row of an ordered group is deliverable, all others are blocked: triggers keep that true
 * whoever inserts, moves or deletes, so that receiving needs no thought of groups. */
static const char s_triggers[] =
    "CREATE TRIGGER messages_count_insert AFTER INSERT ON messages BEGIN"
    " UPDATE queues SET messages = messages + 1, bytes = bytes + length(new.body),"
    " published = published + 1 WHERE id = new.queue_id;"
    "END;"
    "CREATE TRIGGER messages_count_delete AFTER DELETE ON messages BEGIN"
    " UPDATE queues SET messages = messages - 1, bytes = bytes - length(old.body)"
    " WHERE id = old.queue_id;"
    "END;"
    "CREATE TRIGGER messages_count_move AFTER UPDATE OF queue_id ON messages"
    " WHEN old.queue_id <> new.queue_id BEGIN"
    " UPDATE queues SET messages = messages - 1, bytes = bytes - length(old.body)"
    " WHERE id = old.queue_id;"
    " UPDATE queues SET messages = messages + 1, bytes = bytes + length(new.body),"
    " published = published + 1 WHERE id = new.queue_id;"
    "END;"
    "CREATE TRIGGER messages_order_insert AFTER INSERT ON messages"
    " WHEN new.in_order = 1 AND " HAS_OLDER " BEGIN"
    " UPDATE messages SET visible_at = " BLOCKED " WHERE id = new.id;"
    "END;"
    "CREATE TRIGGER messages_order_delete AFTER DELETE ON messages"
    " WHEN old.in_order = 1 AND old.visible_at <> " BLOCKED " BEGIN " UNBLOCK_NEXT " END;"
    "CREATE TRIGGER messages_order_leave AFTER UPDATE OF queue_id ON messages"
    " WHEN old.queue_id <> new.queue_id AND old.in_order = 1 AND old.visible_at <> " BLOCKED
    " BEGIN " UNBLOCK_NEXT " END;"
    "CREATE TRIGGER messages_order_enter AFTER UPDATE OF queue_id ON messages"
    " WHEN old.queue_id <> new.queue_id AND new.in_order = 1 AND " HAS_OLDER " BEGIN"
    " UPDATE messages SET visible_at = " BLOCKED " WHERE id = new.id;"
    "END;"
    "CREATE TRIGGER messages_deduplicate AFTER INSERT ON messages"
    " WHEN new.deduplication_id <> '' BEGIN"
    " INSERT OR REPLACE INTO deduplication"
    " SELECT id, new.deduplication_id, new.id, new.enqueued_at + deduplication_window_ms"
    " FROM queues WHERE id = new.queue_id AND deduplication_window_ms > 0;"
    "END;";

/* Cut to QE_EMBEDDED_DELAY_MAX_MS, so that it cannot pass for a message behind its group. */
#define OUTBOX_DELAY_MS                                                                            \
    "min(max(CAST(coalesce(new.delay_ms, q.delay_ms) AS INTEGER), 0), 315360000000)"

static const char s_views[] =
    "CREATE VIEW outbox AS SELECT q.name AS queue, m.body AS body, m.attributes AS attributes,"
    " NULL AS delay_ms, m.group_id AS group_id, m.deduplication_id AS deduplication_id,"
    " m.correlation_id AS correlation_id, m.reply_to AS reply_to"
    " FROM messages m JOIN queues q ON q.id = m.queue_id;"
    "CREATE TRIGGER outbox_insert INSTEAD OF INSERT ON outbox BEGIN"
    " SELECT CASE"
    " WHEN NOT EXISTS (SELECT 1 FROM queues WHERE name = new.queue)"
    "  THEN RAISE(ABORT, 'outbox: there is no such queue')"
    " WHEN new.attributes IS NOT NULL AND (SELECT count(*) FROM json_each(new.attributes)) > 56"
    "  THEN RAISE(ABORT, 'outbox: more than 56 attributes')"
    " WHEN length(CAST(coalesce(new.body, '') AS BLOB)) > 16777216"
    "  THEN RAISE(ABORT, 'outbox: the body has more than 16 MiB') END;"
    " INSERT INTO messages (queue_id, visible_at, due_at, enqueued_at, sent_at, in_order,"
    " group_id, deduplication_id, correlation_id, reply_to, attributes, body)"
    " SELECT q.id, now.ms + " OUTBOX_DELAY_MS ", now.ms + " OUTBOX_DELAY_MS
    ", now.ms, now.ms, q.ordered,"
    " coalesce(new.group_id, ''), coalesce(new.deduplication_id, ''),"
    " coalesce(new.correlation_id, ''), coalesce(new.reply_to, ''), new.attributes,"
    " CAST(coalesce(new.body, '') AS BLOB)"
    " FROM queues q, (SELECT " NOW_MS " AS ms) now WHERE q.name = new.queue"
    " AND NOT EXISTS (SELECT 1 FROM deduplication d WHERE d.queue_id = q.id"
    "  AND q.deduplication_window_ms > 0 AND d.deduplication_id = new.deduplication_id"
    "  AND d.expires_at > now.ms);"
    "END;"
    "CREATE VIEW readable_messages AS SELECT m.id, q.name AS queue,"
    " CASE WHEN m.visible_at = " BLOCKED " THEN 'behind its group'"
    " WHEN m.visible_at <= " NOW_MS " THEN 'ready'"
    " WHEN m.held = 1 THEN 'in flight' ELSE 'delayed' END AS state,"
    " m.receives, strftime('%Y-%m-%dT%H:%M:%fZ', m.enqueued_at / 1000.0, 'unixepoch')"
    " AS enqueued_at,"
    " CASE WHEN m.visible_at < " BLOCKED
    " THEN strftime('%Y-%m-%dT%H:%M:%fZ', m.visible_at / 1000.0, 'unixepoch') END AS visible_at,"
    " m.group_id, m.deduplication_id, m.correlation_id, m.reply_to, m.attributes,"
    " CAST(m.body AS TEXT) AS body FROM messages m JOIN queues q ON q.id = m.queue_id;"
    "CREATE VIEW readable_queues AS SELECT q.name AS queue, q.messages - h.hidden AS ready,"
    " h.in_flight AS in_flight, h.hidden - h.in_flight AS delayed, q.dead_letter_queue"
    " FROM queues q JOIN (SELECT k.id AS id, count(m.id) AS hidden,"
    " coalesce(sum(m.held), 0) AS in_flight FROM queues k LEFT JOIN messages m"
    " ON m.queue_id = k.id AND m.visible_at > " NOW_MS " AND m.visible_at < " BLOCKED
    " GROUP BY k.id) h ON h.id = q.id;";

const char *const qe_embedded_schema_text[] = {s_tables, s_triggers, s_views, NULL};
