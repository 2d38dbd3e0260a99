package status

import (
	"github.com/prometheus/client_golang/prometheus"

	"belfry/buffer"
)

var (
	received    = describe("received_total", "Uplinks that a source handed over.", "source")
	stored      = describe("stored_total", "Uplinks whose events are on disk.", "source")
	quarantined = describe("quarantined_total", "Uplinks that went to quarantine.", "source")
	duplicates  = describe("duplicates_total", "Uplinks dropped because they had been taken before.", "source")
	empty       = describe("empty_total", "Uplinks without a reading.", "source")
	failed      = describe("failed_total", "Uplinks that could not be held; their source delivers them again.", "source")
	transport   = describe("source_total", "What a source counts of its transport.", "source", "what")
	forwarded   = describe("forward_total", "What the forwarding to NATS counts.", "what")
	ready       = describe("ready", "1 when a part is connected and working.", "part")

	pending         = describe("buffer_pending", "Records not yet published.", "lane")
	held            = describe("buffer_held", "Records published and still on disk.")
	inQuarantine    = describe("buffer_quarantined", "Messages in quarantine now.")
	appended        = describe("buffer_appended_total", "Records ever stored, quarantine not counted.")
	published       = describe("buffer_published_total", "Records ever published.")
	everQuarantined = describe("buffer_quarantined_total", "Messages ever put into quarantine.")
	expired         = describe("buffer_expired_total", "Records ever given up by policy.")
	repeats         = describe("buffer_duplicates_total", "Messages ever dropped as repeats.")
	damaged         = describe("buffer_damaged_total", "Records found damaged since the start.")
	commits         = describe("buffer_commits_total", "Transactions since the start.")
	commitBytes     = describe("buffer_commit_bytes_total", "Bytes that transactions wrote since the start, in whole pages.")
	commitSeconds   = describe("buffer_commit_seconds_total", "Time spent in transactions since the start.")
	bytes           = describe("buffer_bytes", "Size of the buffer's files.")
	maxBytes        = describe("buffer_max_bytes", "Size limit of the buffer's files.")
	segments        = describe("buffer_segments", "Number of the buffer's files.")
	lastSeq         = describe("buffer_last_sequence", "Number of the newest record.")
	oldest          = describe("buffer_oldest_seconds", "How long the oldest unpublished record has waited.")
	failing         = describe("buffer_failing", "1 while the buffer cannot write.")
)

var (
	ledgerMessages    = describe("ledger_messages_total", "Messages that the buffer has dealt with: kept + discarded.")
	ledgerKept        = describe("ledger_kept_total", "Messages kept, as one record or more.")
	ledgerDiscarded   = describe("ledger_discarded_total", "Messages that left no record.", "reason")
	ledgerReceived    = describe("ledger_received_total", "Records that came in: the sum of those that follow.")
	ledgerReleased    = describe("ledger_released_total", "Records published and gone from disk.")
	ledgerHeld        = describe("ledger_held", "Records published, still on disk.")
	ledgerPending     = describe("ledger_pending", "Records to be published.")
	ledgerQuarantined = describe("ledger_quarantined", "Records in quarantine.")
	ledgerDropped     = describe("ledger_dropped_total", "Records dropped from quarantine by command.")
	ledgerRetried     = describe("ledger_retried_total", "Records taken out of quarantine to be decoded again, and received anew.")
	ledgerExpired     = describe("ledger_expired_total", "Records given up by policy.", "reason")
	ledgerLost        = describe("ledger_lost_total", "Records destroyed by damage.")
	ledgerBalanced    = describe("ledger_balanced", "1 while both sums are right.")
)

// forwarding are the values of the sink that hold now; the others are totals.
var forwarding = map[string]*prometheus.Desc{
	"in_flight":       describe("forward_in_flight", "Events on their way to NATS, not acknowledged yet."),
	"in_flight_bytes": describe("forward_in_flight_bytes", "Bytes of them, and of questions to the stream."),
	"window_bytes":    describe("forward_window_bytes", "How many bytes may be on their way now; follows the delay of the line."),
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("belfry_"+name, help, labels, nil)
}

// collector reads the counters of the gateway at each scrape. Its labels are names from the configuration and from the
// program, never devices.
type collector struct{ view View }

// Describe implements prometheus.Collector; the collector is unchecked, since what sources count is theirs to name.
func (c collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	count := func(desc *prometheus.Desc, value uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(value), labels...)
	}
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	for source, intake := range c.view.Intake() {
		count(received, intake.Received, source)
		count(stored, intake.Stored, source)
		count(quarantined, intake.Quarantine, source)
		count(duplicates, intake.Duplicates, source)
		count(empty, intake.Empty, source)
		count(failed, intake.Failed, source)
	}
	for source, counters := range c.view.SourceCounters() {
		for what, value := range counters {
			count(transport, value, source, what)
		}
	}
	for what, value := range c.view.SinkCounters() {
		if now, ok := forwarding[what]; ok {
			gauge(now, float64(value))
			continue
		}
		count(forwarded, value, what)
	}
	for _, condition := range c.view.Conditions() {
		gauge(ready, truth(condition.Ready), condition.Name)
	}
	stats := c.view.BufferStats()
	gauge(pending, float64(stats.Pending[0]), "urgent")
	gauge(pending, float64(stats.Pending[1]), "normal")
	gauge(held, float64(stats.Held))
	gauge(inQuarantine, float64(stats.Quarantined))
	count(appended, stats.Appended)
	count(published, stats.Published)
	count(everQuarantined, stats.QuarantinedTotal)
	count(expired, stats.Expired)
	count(repeats, stats.Duplicates)
	count(damaged, stats.Damaged)
	count(commits, stats.Commits)
	count(commitBytes, stats.CommitBytes)
	out <- prometheus.MustNewConstMetric(commitSeconds, prometheus.CounterValue, stats.CommitTime.Seconds())
	gauge(bytes, float64(stats.Bytes))
	gauge(maxBytes, float64(stats.MaxBytes))
	gauge(segments, float64(stats.Segments))
	gauge(lastSeq, float64(stats.LastSeq))
	gauge(oldest, stats.Oldest.Seconds())
	gauge(failing, truth(stats.Failing != nil))
	collectLedger(&stats.Ledger, count, gauge)
}

// collectLedger shows the buffer's ledger.
func collectLedger(l *buffer.Ledger, count func(*prometheus.Desc, uint64, ...string), gauge func(*prometheus.Desc, float64, ...string)) {
	count(ledgerMessages, l.Messages)
	count(ledgerKept, l.Kept)
	for reason, n := range l.Discarded {
		count(ledgerDiscarded, n, reason)
	}
	count(ledgerReceived, l.Received)
	count(ledgerReleased, l.Released)
	gauge(ledgerHeld, float64(l.Held))
	gauge(ledgerPending, float64(l.Pending))
	gauge(ledgerQuarantined, float64(l.Quarantined))
	count(ledgerDropped, l.Dropped)
	count(ledgerRetried, l.Retried)
	for reason, n := range l.Expired {
		count(ledgerExpired, n, reason)
	}
	count(ledgerLost, l.Lost)
	gauge(ledgerBalanced, truth(l.Balance() == nil))
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
