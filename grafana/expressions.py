"""PromQL that several panels share."""

PREFIX = "livekit_watchdog_"
PROJECT = 'project=~"$project"'
AGENT = f'{PROJECT}, agent_name=~"$agent"'


def series(name: str, matchers: str = PROJECT) -> str:
    """A selector of one of the watchdog's metrics; `name` is without the prefix."""
    return f"{PREFIX}{name}{{{matchers}}}"


def grown(selector: str, window: str = "$__interval") -> str:
    """By how much a counter grew within the window before each point.

    `increase()` would not do for rare events: it loses a series' first sample, which for a counter that
    appears with its first event is the event itself, and what falls between two windows; and it gives
    fractions. Here a series counts whole where it has fallen (a restart), and where it appeared while the
    watchdog was scraped already; what it held when Prometheus first came counts for nothing.
    """
    # What was not there before the window, while the watchdog was, appeared in it; and so did what has fewer
    # samples than it in the window. Not the selector itself: where one scrape failed it has no value at
    # that very moment.
    now = f"last_over_time({selector}[{window}])"
    before = f"last_over_time({selector}[1h] offset {window})"
    scraped = f"count_over_time({PREFIX}build_info[1h] offset {window})"
    scrapes = f"sum by (job, instance) (count_over_time({PREFIX}build_info[{window}]))"
    fewer = f"count_over_time({selector}[{window}]) < on (job, instance) group_left () {scrapes}"
    return (
        f"({now} - ({before} <= {now}) or {now} < {before}"
        f" or {now} and on (job, instance) {scraped} or {now} and ({fewer})"
        f" or {now} - min_over_time({selector}[{window}]))"
    )


def spent(name: str) -> str:
    """By how much an estimate in USD grew over the dashboard's range.

    Restored counters go on where they were, so a series that is new to Prometheus is not new spend.
    """
    return f"sum(increase({series(name, AGENT)}[$__range]))"


def of_watchdogs(process_metric: str) -> str:
    """A process_* metric of the watchdogs alone: every exporter has metrics of that name."""
    runs = f"max by (job, instance) ({PREFIX}build_info)"
    return f"{process_metric} * on (job, instance) group_left () {runs}"


def quantile(share: float, histogram: str, by: str = "") -> str:
    """A quantile of a histogram over the last moments; absent, not NaN, where nothing happened."""
    labels = f"le, {by}" if by else "le"
    rate = f"rate({series(histogram + '_bucket')}[$__rate_interval])"
    return f"histogram_quantile({share}, sum by ({labels}) ({rate})) >= 0"
