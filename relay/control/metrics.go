package control

import (
	"net/http"
	"runtime"
	"time"

	metrics "github.com/hashicorp/go-metrics"
	metricsprom "github.com/hashicorp/go-metrics/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// namespace prefixes every metric of our own.
const namespace = "thinrelay"

// Metrics are the relay's Prometheus metrics, on a registry of their own. Its
// methods may be called from any goroutine; those named in metrics_record.go
// as hot allocate nothing and take no lock. A nil *Metrics records nothing.
type Metrics struct {
	registry *prometheus.Registry
	handler  http.Handler
	docs     []metricDoc

	leader, ready, quorum, term, markHeight prometheus.Gauge
	live                                    prometheus.Gauge
	doubleVotes, overflows, syncBlocks      prometheus.Counter
	votesForwarded, trxDropped              prometheus.Counter
	missed, activeSwitches, stepDowns       prometheus.Counter
	gate, lead, diskWrite                   prometheus.Histogram

	forwarded, refused, failovers counters
	setAside                      counters
	votesDropped, transactions    counters
	replicas, upstreams           gauges
	peerRTT, clockOffset          gauges
}

// Buckets, in seconds. What an alert compares with is a bound: a quantile is guessed within its bucket, so that beyond the bound below it may
// already look too high. The gate must stay far below a slot (0.5 s); the lead of
// a block grows from 37.5 ms to 450 ms within a round by nodeos's defaults, and is
// negative for a late one.
func gateBuckets() []float64 {
	return []float64{10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1}
}

func leadBuckets() []float64 {
	return []float64{-1, -0.5, -0.25, -0.1, -0.05, 0, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 1, 3}
}

func diskBuckets() []float64 {
	return []float64{0.5e-3, 1e-3, 2e-3, 4e-3, 8e-3, 15e-3, 30e-3, 50e-3, 75e-3, 125e-3, 250e-3, 500e-3, 1, 2}
}

// NewMetrics returns the metrics of a relay of the given build version.
func NewMetrics(version string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}

	m.leader = m.gauge("leader", "1 while this member leads. The sum over the group is 1; anything else for more than 2 s is worth an alert.")
	m.ready = m.gauge("ready", "1 while /readyz says yes, as of the scrape.")
	m.quorum = m.gauge("quorum", "1 while this member knows a leader with a majority.")
	m.term = m.gauge("term", "Raft term this member is in.")
	m.markHeight = m.gauge("mark_height", "Height of the replicated mark, as this member has applied it: the last block that left the group, or the one of another producer that our next must follow.")

	m.forwarded = m.counterVec("forwarded_total", "Blocks of ours sent to the network by this member, by the replica they came from.", "source")
	m.refused = m.counterVec("refused_total", "Blocks of replicas that were not sent, by reason.", "reason", RefusalReasons()...)
	m.gate = m.histogram("gate_seconds", "From a replica's block having been read to its being queued for the upstreams.", gateBuckets())
	m.lead = m.histogram("block_lead_seconds", "How long before its slot time a block of ours left; negative: after it.", leadBuckets())
	m.missed = m.counter("slots_missed_total", "Slots of ours that passed without a block of ours.")

	m.setAside = m.counterVec("set_aside_total", "Times a block was kept from the replicas, since one hung up after it and no source but this upstream had it.", "upstream")

	m.failovers = m.counterVec("failovers_total", "Leaderships this member won, by cause: an election of its own, or the leader before handed over.", "cause", "election", "hand_over")
	m.stepDowns = m.counter("step_downs_total", "Hand-overs that somebody asked this member for while it led.")
	m.activeSwitches = m.counter("active_switches_total", "Times another replica was made active.")
	m.replicas = m.gaugeVec("replicas", "Replicas connected to this member, by state.", "state", "active", "standby", "behind", "syncing", "observer")
	m.live = m.gauge("live_replicas", "Replicas of the whole group that could produce our next block, as this member knows as of the scrape; one that is connected to two members counts once.")
	m.upstreams = m.gaugeVec("upstreams", "Configured upstreams, by state of the connection.", "state", "connected", "connecting", "refused", "unreachable")

	m.peerRTT = m.gaugeVec("peer_rtt_seconds", "Round trip to another member.", "peer")
	m.clockOffset = m.gaugeVec("clock_offset_seconds", "Another member's clock minus this one's.", "peer")
	m.diskWrite = m.histogram("disk_write_seconds", "One durable write of the Raft log.", diskBuckets())

	m.votesForwarded = m.counter("votes_forwarded_total", "Finality votes passed on to upstreams.")
	m.votesDropped = m.counterVec("votes_dropped_total", "Finality votes not passed on, by reason.", "reason")
	m.doubleVotes = m.counter("double_vote_total", "Votes that would have broken the rising order of a finalizer key's votes: two live nodes hold one key. Always worth an alert.")
	m.transactions = m.counterVec("transactions_total", "Transactions passed on, by direction.", "direction", "up", "down")
	m.trxDropped = m.counter("transactions_dropped_total", "Transactions dropped: seen before, or a full queue.")
	m.overflows = m.counter("queue_overflows_total", "Times the queue of a replica or upstream was full: it takes frames too slowly, and gets the rest from the ring when it has read what is queued.")
	m.syncBlocks = m.counter("sync_blocks_total", "Blocks fetched from upstreams for replicas that catch up.")

	build := m.gaugeVec("build_info", "Always 1; the labels tell the build.", "version,go")
	build.set2(version, runtime.Version(), 1)

	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 8, Timeout: 5 * time.Second})
	return m
}

// RefusalReasons are the values of the reason label of refused_total.
func RefusalReasons() []string {
	return []string{"not_ours", "unlinked", "height", "slot", "source", "not_leader", "pending", "duplicate"}
}

// Handler serves the metrics in the exposition format.
func (m *Metrics) Handler() http.Handler { return m.handler }

// InstallRaft sends the metrics of hashicorp/raft to the same registry, as
// raft_…. Raft knows only a process-wide sink, so this sets process-wide state:
// cmd calls it once; tests that open several groups do not.
func (m *Metrics) InstallRaft() error {
	sink, err := metricsprom.NewPrometheusSinkFrom(metricsprom.PrometheusOpts{Registerer: m.registry, Expiration: time.Hour})
	if err != nil {
		return err
	}
	cfg := metrics.DefaultConfig("")
	cfg.EnableHostname = false
	cfg.EnableRuntimeMetrics = false
	_, err = metrics.NewGlobal(cfg, sink)
	return err
}
