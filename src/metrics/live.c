#include "metrics/live_internal.h"

void qe_live_render(struct qe_strbuf *out, struct qe_stats *stats,
                    const struct qe_build_info *build, const struct qe_process *process,
                    enum qe_format format)
{
    if (stats != NULL) {
        qe_live_render_api(out, stats, format);
        qe_live_render_consumers(out, stats, format);
    }
    qe_live_render_self(out, stats, build, process, format);
    if (format == QE_FORMAT_OPENMETRICS) {
        (void)qe_strbuf_append_text(out, "# EOF\n");
    }
}
