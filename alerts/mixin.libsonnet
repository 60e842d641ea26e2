// Made by alerts/generate.py from alerts/source/rules.yml: change that file, and run it again.
// local queues = import 'mixin.libsonnet';
// (queues { _config+:: { runbook_base: 'https://…' } }).prometheusAlerts
{
  _config:: {
    "job": "queue-exporter",
    "runbook_base": "https://runbooks.example.com/queue_exporter",
    "dashboard_base": "https://grafana.example.com",
    "replicas": "instance, pod, node",
    "evaluation_interval": "30s",
    "hold": "3m",
    "settle": "2m",
    "growth_window": "15m",
    "growth_memory": "6h",
    "growth_hold": "15m",
    "reminder_after": "1h",
    "expiry_share": "0.1",
    "expiry_margin": "21600",
    "age_for": "5m",
    "age_window": "6h",
    "age_share": "0.1",
    "trend_long": "30m",
    "trend_short": "10m",
    "backlog_floor": "100",
    "backlog_growth": "0.5",
    "trend_slow": "6h",
    "backlog_growth_slow": "0.08",
    "drain_default": "14400",
    "progress_window": "15m",
    "no_consumers_for": "10m",
    "in_flight_share": "0.8",
    "poison_receives": "5.0",
    "poison_share": "0.5",
    "poison_window": "30m",
    "error_budget": "0.01",
    "burn_volume": "10",
    "stale_settle_share": "0.01",
    "unreadable_for": "10m",
    "source_down_for": "5m",
    "stale_after": "900",
    "exporter_down_for": "2m",
    "settled_for": "15m",
  },
  local c = self._config,
  prometheusRules:: {
    "groups": [
      {
        "name": "queue-exporter-levels",
        "interval": "%(evaluation_interval)s" % c,
        "rules": [
          {
            "record": "queue:messages_ready:max",
            "expr": "max without (%(replicas)s) (last_over_time(queue_messages_ready[%(hold)s]))\nunless max without (%(replicas)s, backend, kind) (last_over_time(queue_info{kind=\"stream\"}[%(hold)s]))\nunless max without (%(replicas)s) (last_over_time(queue_is_delay_queue[%(hold)s]))" % c,
          },
          {
            "record": "queue:oldest_message_age_seconds:max",
            "expr": "max without (%(replicas)s, method) (last_over_time(queue_oldest_message_age_seconds[%(hold)s]))" % c,
          },
          {
            "record": "queue:objective_oldest_message_age_seconds:min",
            "expr": "min without (%(replicas)s) (last_over_time(queue_objective_oldest_message_age_seconds[%(hold)s]))" % c,
          },
          {
            "record": "queue:expiry_margin_seconds:min",
            "expr": "min without (%(replicas)s) (last_over_time(queue_expiry_margin_seconds[%(hold)s]))" % c,
          },
          {
            "record": "queue:is_dead_letter_queue:max",
            "expr": "max without (%(replicas)s) (last_over_time(queue_is_dead_letter_queue[%(hold)s])) == 1" % c,
          },
          {
            "record": "source:up:max",
            "expr": "max without (%(replicas)s) (last_over_time(queue_source_up[%(hold)s]))" % c,
          },
        ],
      },
      {
        "name": "queue-exporter-dead-letters",
        "interval": "%(evaluation_interval)s" % c,
        "rules": [
          {
            "record": "queue:dead_letter_messages:max",
            "expr": "max without (dead_letter_queue, dead_letter_vhost) (\n  label_replace(\n    label_replace(\n      max without (%(replicas)s, vhost, queue) (last_over_time(queue_dead_letter_messages[%(hold)s])),\n      \"vhost\", \"$1\", \"dead_letter_vhost\", \"(.+)\"),\n    \"queue\", \"$1\", \"dead_letter_queue\", \"(.+)\"))\nunless max without (%(replicas)s) (last_over_time(queue_is_dead_letter_queue[%(hold)s])) == 0" % c,
          },
          {
            "record": "queue:dead_letter_messages:settled_min",
            "expr": "min_over_time(queue:dead_letter_messages:max[%(settle)s])\nand (queue:dead_letter_messages:max offset %(settle)s)" % c,
          },
          {
            "record": "queue:dead_letter_messages:settled_max",
            "expr": "max_over_time(queue:dead_letter_messages:max[%(settle)s])\nand (queue:dead_letter_messages:max offset %(settle)s)" % c,
          },
          {
            "record": "queue:dead_letter_messages:low",
            "expr": "min_over_time(queue:dead_letter_messages:settled_max[%(growth_window)s])" % c,
          },
          {
            "record": "queue:dead_letter_messages:before",
            "expr": "last_over_time(queue:dead_letter_messages:settled_max[%(growth_memory)s] offset %(growth_window)s)" % c,
          },
          {
            "record": "queue:dead_letter_messages:growth",
            "expr": "queue:dead_letter_messages:settled_min\n- (\n    queue:dead_letter_messages:low < queue:dead_letter_messages:before\n    or queue:dead_letter_messages:before\n    or queue:dead_letter_messages:low\n  )",
          },
        ],
      },
      {
        "name": "queue-exporter-age",
        "interval": "%(evaluation_interval)s" % c,
        "rules": [
          {
            "record": "queue:oldest_message_over_objective:bool",
            "expr": "(queue:oldest_message_age_seconds:max > bool queue:objective_oldest_message_age_seconds:min)\nunless queue:is_dead_letter_queue:max",
          },
        ],
      },
      {
        "name": "queue-exporter-backlog",
        "interval": "%(evaluation_interval)s" % c,
        "rules": [
          {
            "record": "queue:messages_ready:deriv_long",
            "expr": "deriv(queue:messages_ready:max[%(trend_long)s])" % c,
          },
          {
            "record": "queue:messages_ready:deriv_short",
            "expr": "deriv(queue:messages_ready:max[%(trend_short)s])" % c,
          },
          {
            "record": "queue:messages_ready:deriv_slow",
            "expr": "deriv(queue:messages_ready:max[%(trend_slow)s])\nand (queue:messages_ready:max offset %(trend_slow)s)" % c,
          },
          {
            "record": "queue:consumer_processed:rate",
            "expr": "sum without (%(replicas)s) (rate(queue_consumer_messages_processed_total[%(trend_short)s]))" % c,
          },
          {
            "record": "queue:messages_acknowledged:rate",
            "expr": "max without (%(replicas)s) (rate(queue_messages_acknowledged_total[%(trend_short)s]))\nor queue:consumer_processed:rate" % c,
          },
          {
            "record": "queue:drain_seconds:estimate",
            "expr": "(\n  queue:messages_ready:max / (queue:messages_acknowledged:rate > 0)\n  or (\n    queue:messages_ready:max / -(queue:messages_ready:deriv_long < 0)\n    unless queue:messages_acknowledged:rate\n  ) < 72000\n)\nunless queue:is_dead_letter_queue:max",
          },
        ],
      },
      {
        "name": "queue-exporter-consumers",
        "interval": "%(evaluation_interval)s" % c,
        "rules": [
          {
            "record": "queue:consumers:max",
            "expr": "max without (%(replicas)s) (max_over_time(queue_consumers[%(hold)s]))" % c,
          },
          {
            "record": "queue:deliveries:rate",
            "expr": "max without (%(replicas)s) (rate(queue_messages_delivered_total[%(progress_window)s]))" % c,
          },
          {
            "record": "queue:progress:rate",
            "expr": "queue:deliveries:rate\nor sum without (%(replicas)s) (rate(queue_consumer_messages_processed_total[%(progress_window)s]))\n  + sum without (%(replicas)s, reason) (rate(queue_consumer_messages_failed_total[%(progress_window)s]))" % c,
          },
          {
            "record": "queue:consumer_failures:fast_long",
            "expr": "sum without (%(replicas)s, reason) (increase(queue_consumer_messages_failed_total[1h]))" % c,
          },
          {
            "record": "queue:consumer_failures:slow_long",
            "expr": "sum without (%(replicas)s, reason) (increase(queue_consumer_messages_failed_total[6h]))" % c,
          },
          {
            "record": "queue:consumer_error_ratio:fast_long",
            "expr": "queue:consumer_failures:fast_long\n/ (queue:consumer_failures:fast_long\n   + sum without (%(replicas)s) (increase(queue_consumer_messages_processed_total[1h])) > 0)" % c,
          },
          {
            "record": "queue:consumer_error_ratio:slow_long",
            "expr": "queue:consumer_failures:slow_long\n/ (queue:consumer_failures:slow_long\n   + sum without (%(replicas)s) (increase(queue_consumer_messages_processed_total[6h])) > 0)" % c,
          },
          {
            "record": "queue:consumer_error_ratio:fast_short",
            "expr": "sum without (%(replicas)s, reason) (rate(queue_consumer_messages_failed_total[5m]))\n/ (sum without (%(replicas)s, reason) (rate(queue_consumer_messages_failed_total[5m]))\n   + sum without (%(replicas)s) (rate(queue_consumer_messages_processed_total[5m])) > 0)" % c,
          },
          {
            "record": "queue:consumer_error_ratio:slow_short",
            "expr": "sum without (%(replicas)s, reason) (rate(queue_consumer_messages_failed_total[30m]))\n/ (sum without (%(replicas)s, reason) (rate(queue_consumer_messages_failed_total[30m]))\n   + sum without (%(replicas)s) (rate(queue_consumer_messages_processed_total[30m])) > 0)" % c,
          },
        ],
      },
    ],
  },
  prometheusAlerts:: {
    "groups": [
      {
        "name": "queue-exporter-dead-letters",
        "interval": "%(evaluation_interval)s" % c,
        "rules": [
          {
            "alert": "QueueDeadLettersGrowing",
            "expr": "queue:dead_letter_messages:growth > 0",
            "keep_firing_for": "%(growth_hold)s" % c,
            "labels": {
              "severity": "critical",
            },
            "annotations": {
              "summary": "Messages cannot be handled and land in a dead-letter queue.",
              "description": "{{ $labels.queue }}{{ with $labels.vhost }} (vhost {{ . }}){{ end }} of source {{ $labels.source }} gained {{ $value | humanize }} messages within %(growth_window)s and holds {{ with printf \"queue:dead_letter_messages:max{job=%%q,source=%%q,vhost=%%q,queue=%%q}\" $labels.job $labels.source $labels.vhost $labels.queue | query }}{{ . | first | value | humanize }}{{ else }}?{{ end }}. They come from:{{ range printf \"group by (queue) (queue_dead_letter_info{job=%%q,source=%%q,dead_letter_vhost=%%q,dead_letter_queue=%%q})\" $labels.job $labels.source $labels.vhost $labels.queue | query | sortByLabel \"queue\" }} {{ .Labels.queue }}{{ end }}. Look at them: queuectl dlq inspect {{ $labels.source }} {{ $labels.queue }}{{ with $labels.vhost }} --vhost {{ . }}{{ end }}" % c,
              "runbook_url": "%(runbook_base)s/QueueDeadLettersGrowing.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-detail?var-job={{ $labels.job | urlquery }}&var-source={{ $labels.source | urlquery }}&var-queue={{ $labels.queue | urlquery }}{{ with $labels.vhost }}&var-vhost={{ . | urlquery }}{{ end }}" % c,
            },
          },
          {
            "alert": "QueueDeadLetterQueueNotEmpty",
            "expr": "queue:dead_letter_messages:settled_max > 0",
            "for": "%(reminder_after)s" % c,
            "labels": {
              "severity": "warning",
            },
            "annotations": {
              "summary": "Dead letters wait for somebody to decide about them.",
              "description": "{{ $labels.queue }}{{ with $labels.vhost }} (vhost {{ . }}){{ end }} of source {{ $labels.source }} holds {{ $value | humanize }} messages, for more than %(reminder_after)s. Send them again once the cause is mended, or delete them." % c,
              "runbook_url": "%(runbook_base)s/QueueDeadLetterQueueNotEmpty.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-detail?var-job={{ $labels.job | urlquery }}&var-source={{ $labels.source | urlquery }}&var-queue={{ $labels.queue | urlquery }}{{ with $labels.vhost }}&var-vhost={{ . | urlquery }}{{ end }}" % c,
            },
          },
          {
            "alert": "QueueDeadLettersExpiring",
            "expr": "queue:expiry_margin_seconds:min < %(expiry_margin)s\nand queue:expiry_margin_seconds:min\n  < %(expiry_share)s * max without (%(replicas)s) (last_over_time(queue_message_retention_seconds[%(hold)s]))\nand queue:is_dead_letter_queue:max" % c,
            "for": "%(settle)s" % c,
            "labels": {
              "severity": "critical",
            },
            "annotations": {
              "summary": "The broker is about to delete dead letters.",
              "description": "The oldest message of {{ $labels.queue }}{{ with $labels.vhost }} (vhost {{ . }}){{ end }} of source {{ $labels.source }} may be deleted in {{ $value | humanizeDuration }}, and is lost then. Move or copy the messages, or raise the retention.",
              "runbook_url": "%(runbook_base)s/QueueDeadLettersExpiring.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-detail?var-job={{ $labels.job | urlquery }}&var-source={{ $labels.source | urlquery }}&var-queue={{ $labels.queue | urlquery }}{{ with $labels.vhost }}&var-vhost={{ . | urlquery }}{{ end }}" % c,
            },
          },
          {
            "alert": "QueueMessagesExpiring",
            "expr": "queue:expiry_margin_seconds:min < %(expiry_margin)s\nand queue:expiry_margin_seconds:min\n  < %(expiry_share)s * max without (%(replicas)s) (last_over_time(queue_message_retention_seconds[%(hold)s]))\nunless queue:is_dead_letter_queue:max" % c,
            "for": "%(settle)s" % c,
            "labels": {
              "severity": "critical",
            },
            "annotations": {
              "summary": "The broker is about to delete messages that nobody handled.",
              "description": "The oldest message of {{ $labels.queue }}{{ with $labels.vhost }} (vhost {{ . }}){{ end }} of source {{ $labels.source }} is deleted in {{ $value | humanizeDuration }}, and is lost then. Get consumers through it, or raise the retention.",
              "runbook_url": "%(runbook_base)s/QueueMessagesExpiring.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-detail?var-job={{ $labels.job | urlquery }}&var-source={{ $labels.source | urlquery }}&var-queue={{ $labels.queue | urlquery }}{{ with $labels.vhost }}&var-vhost={{ . | urlquery }}{{ end }}" % c,
            },
          },
          {
            "alert": "QueueDeadLettersUnroutable",
            "expr": "max without (%(replicas)s, check)\n  (last_over_time(queue_config_warning{check=\"dead_letter_unroutable\"}[%(hold)s])) == 1" % c,
            "for": "%(settled_for)s" % c,
            "labels": {
              "severity": "warning",
            },
            "annotations": {
              "summary": "The dead letters of a queue reach no queue.",
              "description": "{{ $labels.queue }}{{ with $labels.vhost }} (vhost {{ . }}){{ end }} of source {{ $labels.source }} has a dead-letter exchange that leads to no queue: what is rejected there or expires is gone, or waits in it if it dead-letters at least once. Bind a queue to it.",
              "runbook_url": "%(runbook_base)s/QueueDeadLettersUnroutable.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-detail?var-job={{ $labels.job | urlquery }}&var-source={{ $labels.source | urlquery }}&var-queue={{ $labels.queue | urlquery }}{{ with $labels.vhost }}&var-vhost={{ . | urlquery }}{{ end }}" % c,
            },
          },
          {
            "alert": "QueueDeadLettersBlocked",
            "expr": "max without (%(replicas)s) (last_over_time(queue_dead_letter_pending_messages[%(hold)s])) > 0" % c,
            "for": "%(settled_for)s" % c,
            "labels": {
              "severity": "warning",
            },
            "annotations": {
              "summary": "Dead letters cannot reach their dead-letter queue.",
              "description": "{{ $value | humanize }} dead letters of {{ $labels.queue }}{{ with $labels.vhost }} (vhost {{ . }}){{ end }} of source {{ $labels.source }} are kept until a queue confirms them, which none does. They are in no dead-letter queue, and in nobody's sight.",
              "runbook_url": "%(runbook_base)s/QueueDeadLettersBlocked.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-detail?var-job={{ $labels.job | urlquery }}&var-source={{ $labels.source | urlquery }}&var-queue={{ $labels.queue | urlquery }}{{ with $labels.vhost }}&var-vhost={{ . | urlquery }}{{ end }}" % c,
            },
          },
        ],
      },
      {
        "name": "queue-exporter-age",
        "interval": "%(evaluation_interval)s" % c,
        "rules": [
          {
            "alert": "QueueMessagesTooOld",
            "expr": "queue:oldest_message_age_seconds:max\nand queue:oldest_message_over_objective:bool == 1",
            "for": "%(age_for)s" % c,
            "keep_firing_for": "%(age_for)s" % c,
            "labels": {
              "severity": "critical",
            },
            "annotations": {
              "summary": "Messages wait longer than promised.",
              "description": "The oldest message of {{ $labels.queue }}{{ with $labels.vhost }} (vhost {{ . }}){{ end }} of source {{ $labels.source }} waits for {{ $value | humanizeDuration }}; the objective is {{ with printf \"queue:objective_oldest_message_age_seconds:min{job=%%q,source=%%q,vhost=%%q,queue=%%q}\" $labels.job $labels.source $labels.vhost $labels.queue | query }}{{ . | first | value | humanizeDuration }}{{ else }}?{{ end }}." % c,
              "runbook_url": "%(runbook_base)s/QueueMessagesTooOld.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-detail?var-job={{ $labels.job | urlquery }}&var-source={{ $labels.source | urlquery }}&var-queue={{ $labels.queue | urlquery }}{{ with $labels.vhost }}&var-vhost={{ . | urlquery }}{{ end }}" % c,
            },
          },
          {
            "alert": "QueueMessagesOftenTooOld",
            "expr": "avg_over_time(queue:oldest_message_over_objective:bool[%(age_window)s]) > %(age_share)s" % c,
            "for": "%(settled_for)s" % c,
            "labels": {
              "severity": "warning",
            },
            "annotations": {
              "summary": "Messages wait longer than promised, again and again.",
              "description": "The oldest message of {{ $labels.queue }}{{ with $labels.vhost }} (vhost {{ . }}){{ end }} of source {{ $labels.source }} was over its objective for {{ $value | humanizePercentage }} of the last %(age_window)s." % c,
              "runbook_url": "%(runbook_base)s/QueueMessagesOftenTooOld.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-detail?var-job={{ $labels.job | urlquery }}&var-source={{ $labels.source | urlquery }}&var-queue={{ $labels.queue | urlquery }}{{ with $labels.vhost }}&var-vhost={{ . | urlquery }}{{ end }}" % c,
            },
          },
        ],
      },
      {
        "name": "queue-exporter-backlog",
        "interval": "%(evaluation_interval)s" % c,
        "rules": [
          {
            "alert": "QueueBacklogGrowing",
            "expr": "(\n  3600 * queue:messages_ready:deriv_long > %(backlog_growth)s * queue:messages_ready:max\n  and 3600 * queue:messages_ready:deriv_short > %(backlog_growth)s * queue:messages_ready:max\n  or 3600 * queue:messages_ready:deriv_slow > %(backlog_growth_slow)s * queue:messages_ready:max\n  and 3600 * queue:messages_ready:deriv_long > %(backlog_growth_slow)s * queue:messages_ready:max\n)\nand queue:messages_ready:max > %(backlog_floor)s\nunless queue:is_dead_letter_queue:max" % c,
            "for": "%(settled_for)s" % c,
            "labels": {
              "severity": "warning",
            },
            "annotations": {
              "summary": "Messages arrive faster than they are handled.",
              "description": "{{ $labels.queue }}{{ with $labels.vhost }} (vhost {{ . }}){{ end }} of source {{ $labels.source }} holds {{ with printf \"queue:messages_ready:max{job=%%q,source=%%q,vhost=%%q,queue=%%q}\" $labels.job $labels.source $labels.vhost $labels.queue | query }}{{ . | first | value | humanize }}{{ else }}?{{ end }} ready messages and gains {{ $value | humanize }} an hour." % c,
              "runbook_url": "%(runbook_base)s/QueueBacklogGrowing.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-detail?var-job={{ $labels.job | urlquery }}&var-source={{ $labels.source | urlquery }}&var-queue={{ $labels.queue | urlquery }}{{ with $labels.vhost }}&var-vhost={{ . | urlquery }}{{ end }}" % c,
            },
          },
          {
            "alert": "QueueDrainTooLong",
            "expr": "queue:drain_seconds:estimate\n  > (queue:objective_oldest_message_age_seconds:min or 0 * queue:drain_seconds:estimate + %(drain_default)s)\nand queue:messages_ready:max > %(backlog_floor)s" % c,
            "for": "%(settled_for)s" % c,
            "labels": {
              "severity": "warning",
            },
            "annotations": {
              "summary": "What waits in a queue takes too long to work off.",
              "description": "{{ $labels.queue }}{{ with $labels.vhost }} (vhost {{ . }}){{ end }} of source {{ $labels.source }} needs {{ $value | humanizeDuration }} for what waits now, at the rate of the last %(trend_short)s." % c,
              "runbook_url": "%(runbook_base)s/QueueDrainTooLong.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-detail?var-job={{ $labels.job | urlquery }}&var-source={{ $labels.source | urlquery }}&var-queue={{ $labels.queue | urlquery }}{{ with $labels.vhost }}&var-vhost={{ . | urlquery }}{{ end }}" % c,
            },
          },
        ],
      },
      {
        "name": "queue-exporter-consumers",
        "interval": "%(evaluation_interval)s" % c,
        "rules": [
          {
            "alert": "QueueConsumerStuck",
            "expr": "min_over_time(queue:messages_ready:max[%(progress_window)s]) > 0\nand (queue:messages_ready:max offset %(progress_window)s)\nand (\n  queue:progress:rate == 0\n  and (\n    queue:deliveries:rate\n    or max without (%(replicas)s) (max_over_time(queue_messages_in_flight[%(progress_window)s])) == 0\n    or sum without (%(replicas)s) (min_over_time(queue_consumer_messages_in_progress[%(progress_window)s])) > 0\n  )\n  or max without (%(replicas)s, state) (min_over_time(queue_state{state=\"stalled\"}[%(progress_window)s])) == 1\n    and queue:consumers:max\n    unless queue:progress:rate\n)\nunless queue:consumers:max == 0\nunless queue:is_dead_letter_queue:max" % c,
            "for": "%(settle)s" % c,
            "labels": {
              "severity": "critical",
            },
            "annotations": {
              "summary": "The consumers of a queue do nothing while messages wait.",
              "description": "At least {{ $value | humanize }} messages of {{ $labels.queue }}{{ with $labels.vhost }} (vhost {{ . }}){{ end }} of source {{ $labels.source }} waited all of the last %(progress_window)s, and nothing was handled." % c,
              "runbook_url": "%(runbook_base)s/QueueConsumerStuck.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-detail?var-job={{ $labels.job | urlquery }}&var-source={{ $labels.source | urlquery }}&var-queue={{ $labels.queue | urlquery }}{{ with $labels.vhost }}&var-vhost={{ . | urlquery }}{{ end }}" % c,
            },
          },
          {
            "alert": "QueueNoConsumers",
            "expr": "queue:messages_ready:max > 0\nand (\n  queue:consumers:max == 0\n  or max without (%(replicas)s, state) (last_over_time(queue_state{state=\"stalled\"}[%(hold)s])) == 1\n    unless queue:consumers:max\n    unless queue:progress:rate\n)\nunless queue:is_dead_letter_queue:max" % c,
            "for": "%(no_consumers_for)s" % c,
            "labels": {
              "severity": "warning",
            },
            "annotations": {
              "summary": "Messages wait and nobody is there to handle them.",
              "description": "{{ $labels.queue }}{{ with $labels.vhost }} (vhost {{ . }}){{ end }} of source {{ $labels.source }} holds {{ $value | humanize }} ready messages, and for %(no_consumers_for)s nobody has been there to take them." % c,
              "runbook_url": "%(runbook_base)s/QueueNoConsumers.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-detail?var-job={{ $labels.job | urlquery }}&var-source={{ $labels.source | urlquery }}&var-queue={{ $labels.queue | urlquery }}{{ with $labels.vhost }}&var-vhost={{ . | urlquery }}{{ end }}" % c,
            },
          },
          {
            "alert": "QueueInFlightNearLimit",
            "expr": "max without (%(replicas)s) (last_over_time(queue_messages_in_flight[%(hold)s]))\n/ (max without (%(replicas)s) (last_over_time(queue_messages_in_flight_limit[%(hold)s])) > 0)\n> %(in_flight_share)s" % c,
            "for": "%(settle)s" % c,
            "labels": {
              "severity": "warning",
            },
            "annotations": {
              "summary": "The broker will soon stop to deliver.",
              "description": "{{ $value | humanizePercentage }} of the messages that {{ $labels.queue }}{{ with $labels.vhost }} (vhost {{ . }}){{ end }} of source {{ $labels.source }} may have in flight are in flight. At the limit nothing more is delivered.",
              "runbook_url": "%(runbook_base)s/QueueInFlightNearLimit.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-detail?var-job={{ $labels.job | urlquery }}&var-source={{ $labels.source | urlquery }}&var-queue={{ $labels.queue | urlquery }}{{ with $labels.vhost }}&var-vhost={{ . | urlquery }}{{ end }}" % c,
            },
          },
          {
            "alert": "QueuePoisonMessages",
            "expr": "(\n  sum without (%(replicas)s, le) (increase(queue_consumer_message_receives_bucket{le=\"+Inf\"}[%(poison_window)s]))\n  - sum without (%(replicas)s, le)\n      (increase(queue_consumer_message_receives_bucket{le=\"%(poison_receives)s\"}[%(poison_window)s]))\n  > 2\n)\nor (\n  max without (%(replicas)s) (increase(queue_messages_redelivered_total[%(poison_window)s])) > %(burn_volume)s\n  and max without (%(replicas)s) (increase(queue_messages_redelivered_total[%(poison_window)s]))\n    > %(poison_share)s * max without (%(replicas)s) (increase(queue_messages_delivered_total[%(poison_window)s]))\n  unless sum without (%(replicas)s) (queue_consumer_message_receives_count)\n)" % c,
            "labels": {
              "severity": "warning",
            },
            "annotations": {
              "summary": "The same messages come back again and again.",
              "description": "{{ $labels.queue }}{{ with $labels.vhost }} (vhost {{ . }}){{ end }} of source {{ $labels.source }} saw {{ $value | humanize }} such deliveries within %(poison_window)s. The age of the oldest message may look healthy meanwhile: some brokers leave such messages out." % c,
              "runbook_url": "%(runbook_base)s/QueuePoisonMessages.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-detail?var-job={{ $labels.job | urlquery }}&var-source={{ $labels.source | urlquery }}&var-queue={{ $labels.queue | urlquery }}{{ with $labels.vhost }}&var-vhost={{ . | urlquery }}{{ end }}" % c,
            },
          },
          {
            "alert": "QueueConsumerErrorsFast",
            "expr": "queue:consumer_error_ratio:fast_long > 14.4 * %(error_budget)s\nand queue:consumer_error_ratio:fast_short > 14.4 * %(error_budget)s\nand queue:consumer_failures:fast_long > %(burn_volume)s" % c,
            "labels": {
              "severity": "warning",
            },
            "annotations": {
              "summary": "A consumer's handler fails often.",
              "description": "{{ $value | humanizePercentage }} of the handler runs on {{ $labels.queue }}{{ with $labels.vhost }} (vhost {{ . }}){{ end }} of source {{ $labels.source }} failed within the last hour.",
              "runbook_url": "%(runbook_base)s/QueueConsumerErrorsFast.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-detail?var-job={{ $labels.job | urlquery }}&var-source={{ $labels.source | urlquery }}&var-queue={{ $labels.queue | urlquery }}{{ with $labels.vhost }}&var-vhost={{ . | urlquery }}{{ end }}" % c,
            },
          },
          {
            "alert": "QueueConsumerErrorsSlow",
            "expr": "queue:consumer_error_ratio:slow_long > 6 * %(error_budget)s\nand queue:consumer_error_ratio:slow_short > 6 * %(error_budget)s\nand queue:consumer_failures:slow_long > %(burn_volume)s" % c,
            "for": "%(settled_for)s" % c,
            "labels": {
              "severity": "warning",
            },
            "annotations": {
              "summary": "A consumer's handler keeps failing.",
              "description": "{{ $value | humanizePercentage }} of the handler runs on {{ $labels.queue }}{{ with $labels.vhost }} (vhost {{ . }}){{ end }} of source {{ $labels.source }} failed within the last 6 hours.",
              "runbook_url": "%(runbook_base)s/QueueConsumerErrorsSlow.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-detail?var-job={{ $labels.job | urlquery }}&var-source={{ $labels.source | urlquery }}&var-queue={{ $labels.queue | urlquery }}{{ with $labels.vhost }}&var-vhost={{ . | urlquery }}{{ end }}" % c,
            },
          },
          {
            "alert": "QueueConsumerCircuitOpen",
            "expr": "min without (%(replicas)s, state) (last_over_time(queue_consumer_circuit_state{state=\"closed\"}[%(hold)s])) == 0" % c,
            "for": "%(settle)s" % c,
            "labels": {
              "severity": "warning",
            },
            "annotations": {
              "summary": "A consumer has stopped to receive, since its handling fails.",
              "description": "A consumer of {{ $labels.queue }}{{ with $labels.vhost }} (vhost {{ . }}){{ end }} of source {{ $labels.source }} receives nothing but single messages to try with, since its handling failed too often in a row. Messages wait meanwhile.",
              "runbook_url": "%(runbook_base)s/QueueConsumerCircuitOpen.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-detail?var-job={{ $labels.job | urlquery }}&var-source={{ $labels.source | urlquery }}&var-queue={{ $labels.queue | urlquery }}{{ with $labels.vhost }}&var-vhost={{ . | urlquery }}{{ end }}" % c,
            },
          },
          {
            "alert": "QueueStaleSettles",
            "expr": "sum without (%(replicas)s) (increase(queue_consumer_stale_settles_total[%(poison_window)s])) > 3\nand sum without (%(replicas)s) (increase(queue_consumer_stale_settles_total[%(poison_window)s]))\n  > %(stale_settle_share)s\n    * sum without (%(replicas)s) (increase(queue_consumer_messages_received_total[%(poison_window)s]))" % c,
            "labels": {
              "severity": "warning",
            },
            "annotations": {
              "summary": "Messages are handled twice, because their visibility timeout ends first.",
              "description": "{{ $value | humanize }} messages of {{ $labels.queue }}{{ with $labels.vhost }} (vhost {{ . }}){{ end }} of source {{ $labels.source }} were settled too late within %(poison_window)s: another consumer may have had them meanwhile." % c,
              "runbook_url": "%(runbook_base)s/QueueStaleSettles.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-detail?var-job={{ $labels.job | urlquery }}&var-source={{ $labels.source | urlquery }}&var-queue={{ $labels.queue | urlquery }}{{ with $labels.vhost }}&var-vhost={{ . | urlquery }}{{ end }}" % c,
            },
          },
        ],
      },
      {
        "name": "queue-exporter-brokers",
        "interval": "%(evaluation_interval)s" % c,
        "rules": [
          {
            "alert": "QueueBrokerNodeDown",
            "expr": "min without (%(replicas)s, node, exported_node) (last_over_time(queue_source_node_up[%(hold)s])) == 0" % c,
            "for": "%(source_down_for)s" % c,
            "labels": {
              "severity": "critical",
            },
            "annotations": {
              "summary": "A node of a broker's cluster is down.",
              "description": "Of the cluster of source {{ $labels.source }}, these nodes do not run:{{ range printf \"group by (node, exported_node) (queue_source_node_up{job=%%q,source=%%q} == 0)\" $labels.job $labels.source | query | sortByLabel \"node\" }} {{ or .Labels.exported_node .Labels.node }}{{ end }}. Queues that are only there are out of reach." % c,
              "runbook_url": "%(runbook_base)s/QueueBrokerNodeDown.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-exporter?var-job={{ $labels.job | urlquery }}" % c,
            },
          },
          {
            "alert": "QueueBrokerAlarm",
            "expr": "max without (%(replicas)s, node, exported_node) (last_over_time(queue_source_node_memory_alarm[%(hold)s])) == 1\nor max without (%(replicas)s, node, exported_node) (last_over_time(queue_source_node_disk_alarm[%(hold)s])) == 1" % c,
            "for": "%(settle)s" % c,
            "labels": {
              "severity": "critical",
            },
            "annotations": {
              "summary": "A broker takes no messages, for it is out of memory or disk space.",
              "description": "The cluster of source {{ $labels.source }} blocks all who send. Out of memory:{{ range printf \"group by (node, exported_node) (queue_source_node_memory_alarm{job=%%q,source=%%q} == 1)\" $labels.job $labels.source | query | sortByLabel \"node\" }} {{ or .Labels.exported_node .Labels.node }}{{ end }}; out of disk space:{{ range printf \"group by (node, exported_node) (queue_source_node_disk_alarm{job=%%q,source=%%q} == 1)\" $labels.job $labels.source | query | sortByLabel \"node\" }} {{ or .Labels.exported_node .Labels.node }}{{ end }}." % c,
              "runbook_url": "%(runbook_base)s/QueueBrokerAlarm.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-exporter?var-job={{ $labels.job | urlquery }}" % c,
            },
          },
          {
            "alert": "QueueBrokerPartitioned",
            "expr": "max without (%(replicas)s, node, exported_node) (last_over_time(queue_source_node_partitions[%(hold)s])) > 0" % c,
            "for": "%(settle)s" % c,
            "labels": {
              "severity": "critical",
            },
            "annotations": {
              "summary": "A broker's cluster is split.",
              "description": "Nodes of the cluster of source {{ $labels.source }} have lost sight of others and run on:{{ range printf \"group by (node, exported_node) (queue_source_node_partitions{job=%%q,source=%%q} > 0)\" $labels.job $labels.source | query | sortByLabel \"node\" }} {{ or .Labels.exported_node .Labels.node }}{{ end }}. Each side goes its own way, and one of them will lose its messages." % c,
              "runbook_url": "%(runbook_base)s/QueueBrokerPartitioned.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-exporter?var-job={{ $labels.job | urlquery }}" % c,
            },
          },
        ],
      },
      {
        "name": "queue-exporter-trust",
        "interval": "%(evaluation_interval)s" % c,
        "rules": [
          {
            "alert": "QueueUnreadable",
            "expr": "max without (%(replicas)s) (last_over_time(queue_up[%(hold)s])) == 0\nunless ignoring (vhost, queue) (source:up:max == 0)" % c,
            "for": "%(unreadable_for)s" % c,
            "labels": {
              "severity": "warning",
            },
            "annotations": {
              "summary": "A queue cannot be read.",
              "description": "{{ $labels.queue }}{{ with $labels.vhost }} (vhost {{ . }}){{ end }} of source {{ $labels.source }} could not be read for %(unreadable_for)s, so its alerts are blind." % c,
              "runbook_url": "%(runbook_base)s/QueueUnreadable.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-overview?var-job={{ $labels.job | urlquery }}&var-source={{ $labels.source | urlquery }}" % c,
            },
          },
          {
            "alert": "QueueSourceDown",
            "expr": "source:up:max == 0",
            "for": "%(source_down_for)s" % c,
            "labels": {
              "severity": "critical",
            },
            "annotations": {
              "summary": "A source of queues cannot be read.",
              "description": "For %(source_down_for)s no exporter could read source {{ $labels.source }}, or list its queues. What is known of its queues ends or is stale." % c,
              "runbook_url": "%(runbook_base)s/QueueSourceDown.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-overview?var-job={{ $labels.job | urlquery }}&var-source={{ $labels.source | urlquery }}" % c,
            },
          },
          {
            "alert": "QueueSourceUnreachableFromOne",
            "expr": "min without (%(replicas)s) (last_over_time(queue_source_up[%(hold)s])) == 0\nand source:up:max == 1" % c,
            "for": "%(settled_for)s" % c,
            "labels": {
              "severity": "warning",
            },
            "annotations": {
              "summary": "One of several exporters cannot reach a source.",
              "description": "Source {{ $labels.source }} is watched, but not by every exporter of job {{ $labels.job }}. With one more failure it is unseen.",
              "runbook_url": "%(runbook_base)s/QueueSourceUnreachableFromOne.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-exporter?var-job={{ $labels.job | urlquery }}" % c,
            },
          },
          {
            "alert": "QueueDataStale",
            "expr": "time() - max without (%(replicas)s)\n    (last_over_time(queue_exporter_last_poll_success_timestamp_seconds[%(hold)s]))\n  > ignoring (service, exported_service) %(stale_after)s * (\n      max without (%(replicas)s, service, exported_service)\n        (last_over_time(queue_exporter_interval_stretch_ratio[%(hold)s]))\n      or ignoring (service, exported_service) source:up:max * 0 + 1\n    )" % c,
            "for": "%(settle)s" % c,
            "labels": {
              "severity": "critical",
            },
            "annotations": {
              "summary": "What is known about a source is old.",
              "description": "Source {{ $labels.source }} was last read {{ $value | humanizeDuration }} ago, so its alerts are blind.",
              "runbook_url": "%(runbook_base)s/QueueDataStale.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-exporter?var-job={{ $labels.job | urlquery }}" % c,
            },
          },
          {
            "alert": "QueueExporterDown",
            "expr": "max without (%(replicas)s) (up{job=\"%(job)s\"}) == 0\nor absent(up{job=\"%(job)s\"})" % c,
            "for": "%(exporter_down_for)s" % c,
            "labels": {
              "severity": "critical",
            },
            "annotations": {
              "summary": "No queue exporter is running, nothing watches the queues.",
              "description": "No exporter of job {{ $labels.job }} has answered for %(exporter_down_for)s. All queue alerts are blind." % c,
              "runbook_url": "%(runbook_base)s/QueueExporterDown.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-exporter?var-job={{ $labels.job | urlquery }}" % c,
            },
          },
          {
            "alert": "QueueExporterReplicaDown",
            "expr": "min without (%(replicas)s) (up{job=\"%(job)s\"}) == 0\nand max without (%(replicas)s) (up{job=\"%(job)s\"}) == 1" % c,
            "for": "%(settled_for)s" % c,
            "labels": {
              "severity": "warning",
            },
            "annotations": {
              "summary": "One of several queue exporters is down.",
              "description": "At least one exporter of job {{ $labels.job }} is down, another still serves. With one more failure nothing watches the queues.",
              "runbook_url": "%(runbook_base)s/QueueExporterReplicaDown.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-exporter?var-job={{ $labels.job | urlquery }}" % c,
            },
          },
          {
            "alert": "QueueExporterQueuesDropped",
            "expr": "max without (%(replicas)s) (last_over_time(queue_exporter_queues_dropped[%(hold)s])) > 0" % c,
            "for": "%(settled_for)s" % c,
            "labels": {
              "severity": "warning",
            },
            "annotations": {
              "summary": "Queues are left out because there are too many.",
              "description": "{{ $value | humanize }} queues of source {{ $labels.source }} are over max_queues and not watched. Raise it, or exclude what need not be watched.",
              "runbook_url": "%(runbook_base)s/QueueExporterQueuesDropped.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-exporter?var-job={{ $labels.job | urlquery }}" % c,
            },
          },
          {
            "alert": "QueueExporterBudgetReached",
            "expr": "max without (%(replicas)s, service, exported_service)\n  (last_over_time(queue_exporter_interval_stretch_ratio[%(hold)s])) > 1" % c,
            "for": "%(settled_for)s" % c,
            "labels": {
              "severity": "warning",
            },
            "annotations": {
              "summary": "A source is read less often to keep its budget.",
              "description": "Source {{ $labels.source }} is read {{ $value | humanize }} times less often than configured, so that the month's budget is kept. Its data is older. Watch fewer queues, poll less, or raise the budget.",
              "runbook_url": "%(runbook_base)s/QueueExporterBudgetReached.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-exporter?var-job={{ $labels.job | urlquery }}" % c,
            },
          },
          {
            "alert": "QueueExporterReloadFailed",
            "expr": "min without (%(replicas)s) (last_over_time(queue_exporter_config_last_reload_successful[%(hold)s])) == 0" % c,
            "for": "%(settle)s" % c,
            "labels": {
              "severity": "warning",
            },
            "annotations": {
              "summary": "A queue exporter runs with an old configuration, since the new one is bad.",
              "description": "The last reload of an exporter of job {{ $labels.job }} failed; its log holds every reason. The next start will fail, too.",
              "runbook_url": "%(runbook_base)s/QueueExporterReloadFailed.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-exporter?var-job={{ $labels.job | urlquery }}" % c,
            },
          },
          {
            "alert": "QueueConfigurationWarning",
            "expr": "max without (%(replicas)s) (last_over_time(queue_config_warning{check!~\"in_flight_near_limit|dead_letter_unroutable\"}[%(hold)s])) == 1" % c,
            "for": "%(reminder_after)s" % c,
            "labels": {
              "severity": "info",
            },
            "annotations": {
              "summary": "A queue has a doubtful setting.",
              "description": "{{ $labels.queue }}{{ with $labels.vhost }} (vhost {{ . }}){{ end }} of source {{ $labels.source }}: {{ $labels.check }}. The runbook says what each check means.",
              "runbook_url": "%(runbook_base)s/QueueConfigurationWarning.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-detail?var-job={{ $labels.job | urlquery }}&var-source={{ $labels.source | urlquery }}&var-queue={{ $labels.queue | urlquery }}{{ with $labels.vhost }}&var-vhost={{ . | urlquery }}{{ end }}" % c,
            },
          },
          {
            "alert": "QueueExporterClockSkew",
            "expr": "max without (%(replicas)s) (abs(last_over_time(queue_exporter_clock_skew_seconds[%(hold)s]))) > 60" % c,
            "for": "%(settled_for)s" % c,
            "labels": {
              "severity": "warning",
            },
            "annotations": {
              "summary": "An exporter's clock differs from that of a source.",
              "description": "The clocks of the exporter and of source {{ $labels.source }} are {{ $value | humanizeDuration }} apart. Ages are wrong by that, and at five minutes signed requests are refused.",
              "runbook_url": "%(runbook_base)s/QueueExporterClockSkew.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-exporter?var-job={{ $labels.job | urlquery }}" % c,
            },
          },
          {
            "alert": "QueueExporterCredentialsFailing",
            "expr": "max without (%(replicas)s) (increase(queue_exporter_credentials_refresh_failures_total[%(trend_long)s])) > 2" % c,
            "labels": {
              "severity": "warning",
            },
            "annotations": {
              "summary": "An exporter cannot renew its credentials.",
              "description": "New credentials for source {{ $labels.source }} failed {{ $value | humanize }} times within %(trend_long)s. When the old ones run out, the source is down." % c,
              "runbook_url": "%(runbook_base)s/QueueExporterCredentialsFailing.md" % c,
              "dashboard_url": "%(dashboard_base)s/d/queue-exporter?var-job={{ $labels.job | urlquery }}" % c,
            },
          },
        ],
      },
    ],
  },
}
