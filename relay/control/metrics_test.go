package control_test

import (
	"bytes"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	gometrics "github.com/hashicorp/go-metrics"

	"github.com/thinrelay/thinrelay/relay/control"
)

var update = flag.Bool("update", false, "rewrite golden files and generated documentation")

const metricsDoc = "../../docs/metrics.md"

func TestMetricsDoc(t *testing.T) {
	var want bytes.Buffer
	if err := control.WriteMetricsDoc(&want); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(metricsDoc, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(metricsDoc)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("docs/metrics.md is not what the code says; run: go test ./relay/control -run TestMetricsDoc -update")
	}

	// Every metric that is served has a row, and the other way round.
	m := control.NewMetrics("0.1.0")
	record(m)
	served := map[string]bool{}
	for _, match := range regexp.MustCompile(`(?m)^# TYPE (thinrelay_\S+)`).FindAllStringSubmatch(scrape(t, m), -1) {
		served[match[1]] = true
	}
	rows := map[string]bool{}
	for _, match := range regexp.MustCompile("(?m)^\\| `(thinrelay_[a-z_]+)`").FindAllStringSubmatch(want.String(), -1) {
		rows[match[1]] = true
		if !served[match[1]] {
			t.Errorf("%s is documented and not served", match[1])
		}
	}
	for name := range served {
		if !rows[name] {
			t.Errorf("%s is served and not documented", name)
		}
	}
}

// record calls every method once.
func record(m *control.Metrics) {
	m.Forwarded("nodeos-a", 80*time.Microsecond, 120*time.Millisecond)
	for _, reason := range control.RefusalReasons() {
		m.Refused(reason)
	}
	m.MarkHeight(381223044)
	m.SlotsMissed(2)
	m.VotesForwarded(21)
	m.VoteDropped("unknown_block")
	m.DoubleVote()
	m.TransactionUp()
	m.TransactionDown()
	m.TransactionDropped()
	m.QueueOverflow()
	m.SyncBlocks(100)
	m.DiskWrite(4 * time.Millisecond)
	m.Group(true, true, 41)
	m.Failover("election")
	m.StepDown()
	m.ActiveSwitch()
	m.SetAside("seed1:9876")
	m.Replicas(1, 2, 0, 0, 1)
	m.Upstreams(2, 0, 0, 1)
	m.Peer("us-1", 78*time.Millisecond, -3*time.Millisecond)
}

func scrape(t *testing.T, m *control.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("scrape: %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestMetricsValues(t *testing.T) {
	m := control.NewMetrics("0.1.0")
	record(m)
	text := scrape(t, m)
	for _, want := range []string{
		`thinrelay_forwarded_total{source="nodeos-a"} 1`,
		`thinrelay_refused_total{reason="unlinked"} 1`,
		`thinrelay_gate_seconds_bucket{le="0.0001"} 1`,
		`thinrelay_gate_seconds_bucket{le="5e-05"} 0`,
		`thinrelay_block_lead_seconds_sum 0.12`,
		`thinrelay_mark_height 3.81223044e+08`,
		`thinrelay_slots_missed_total 2`,
		`thinrelay_leader 1`, `thinrelay_quorum 1`, `thinrelay_term 41`,
		`thinrelay_replicas{state="standby"} 2`,
		`thinrelay_upstreams{state="unreachable"} 1`,
		`thinrelay_peer_rtt_seconds{peer="us-1"} 0.078`,
		`thinrelay_clock_offset_seconds{peer="us-1"} -0.003`,
		`thinrelay_transactions_total{direction="down"} 1`,
		`version="0.1.0"`, `go_goroutines`, `process_open_fds`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %s", want)
		}
	}
	// Alerts on an increase need the 0 before it.
	if fresh := scrape(t, control.NewMetrics("")); !strings.Contains(fresh, `thinrelay_refused_total{reason="height"} 0`) {
		t.Error("a reason is missing until it has happened")
	}
}

func TestMetricsAllocateNothing(t *testing.T) {
	m := control.NewMetrics("")
	record(m)
	if n := testing.AllocsPerRun(1000, func() {
		m.Forwarded("nodeos-a", time.Microsecond, time.Millisecond)
		m.Refused("unlinked")
		m.MarkHeight(7)
		m.SlotsMissed(1)
		m.VotesForwarded(1)
		m.VoteDropped("unknown_block")
		m.TransactionUp()
		m.TransactionDown()
		m.TransactionDropped()
		m.QueueOverflow()
		m.SyncBlocks(1)
		m.DiskWrite(time.Millisecond)
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// TestMetricsLabelsAreBounded does not let peers' names fill the memory.
func TestMetricsLabelsAreBounded(t *testing.T) {
	m := control.NewMetrics("")
	for i := range 1000 {
		m.Forwarded(fmt.Sprintf("replica-%d\xff", i), 0, 0)
	}
	text := scrape(t, m)
	if n := strings.Count(text, "thinrelay_forwarded_total{"); n > 66 {
		t.Errorf("%d label values, want at most 65", n)
	}
	if !strings.Contains(text, `thinrelay_forwarded_total{source="other"} 936`) {
		t.Error("the rest is not counted as other")
	}
}

func TestMetricsNil(t *testing.T) {
	var m *control.Metrics
	record(m) // records nothing, breaks nothing
}

func TestMetricsRaft(t *testing.T) {
	m := control.NewMetrics("")
	if err := m.InstallRaft(); err != nil {
		t.Fatal(err)
	}
	gometrics.IncrCounter([]string{"raft", "apply"}, 1)
	if text := scrape(t, m); !strings.Contains(text, "raft_apply 1") {
		t.Error("raft's counters are not served")
	}
}

func TestMetricsReadyFollowsStatus(t *testing.T) {
	node, m := newFakeNode(), control.NewMetrics("")
	s := control.New(control.Config{Node: node, Metrics: m})
	if text := get(s, "/metrics").Body.String(); !strings.Contains(text, "thinrelay_ready 1") {
		t.Error("a healthy member is not ready")
	}
	node.change(func(st *control.Status) { st.Quorum = control.Quorum{Have: 1, Need: 2, Total: 3} })
	if text := get(s, "/metrics").Body.String(); !strings.Contains(text, "thinrelay_ready 0") {
		t.Error("a member without quorum is ready")
	}
}
