/* The attributes that dead-lettering adds to a message. All values are text; times are RFC 3339. */
#ifndef QE_MODEL_DEAD_LETTER_H
#define QE_MODEL_DEAD_LETTER_H

#define QE_DEAD_LETTER_PREFIX "dead-letter-"
/* Always there, from the driver or the consumer that moves the message. */
#define QE_DEAD_LETTER_REASON "dead-letter-reason" /* "reason", or "reason: what happened" */
#define QE_DEAD_LETTER_SOURCE "dead-letter-source" /* the queue it came from */
#define QE_DEAD_LETTER_RECEIVES "dead-letter-receives"
#define QE_DEAD_LETTER_AT "dead-letter-at" /* when it was moved */
/* What the consumer adds as far as it knows: unknown is absent. Most of it is known by a consumer
 * that has had every delivery of the message, and is gone with a restart. */
#define QE_DEAD_LETTER_FIRST_ERROR "dead-letter-first-error"
#define QE_DEAD_LETTER_LAST_ERROR "dead-letter-last-error"
#define QE_DEAD_LETTER_FIRST_SEEN "dead-letter-first-seen" /* when it was first received */

#endif
