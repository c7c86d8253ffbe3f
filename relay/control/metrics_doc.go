package control

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// metricDoc is one row of the metrics' documentation.
type metricDoc struct {
	name, kind, labels string
	values             []string // of the label, where fixed
	help               string
}

// WriteMetricsDoc writes docs/metrics.md from the metrics' own definitions.
func WriteMetricsDoc(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprint(out, `# Metrics

<!-- Generated from relay/control: go test ./relay/control -run TestMetricsDoc -update -->

Every member serves these at `+"`/metrics`"+` in the Prometheus format. A label's fixed values are present from the start, at 0.
A label that takes names from peers holds at most `+fmt.Sprint(maxLabels)+` of them; more are counted as `+"`other`"+`.

| metric | type | labels | meaning |
|---|---|---|---|
`)
	for _, d := range NewMetrics("").docs {
		labels := strings.ReplaceAll(d.labels, ",", ", ")
		if len(d.values) > 0 {
			labels += ": " + strings.Join(d.values, ", ")
		}
		fmt.Fprintf(out, "| `%s` | %s | %s | %s |\n", d.name, d.kind, labels, d.help)
	}
	fmt.Fprint(out, `
Beside them: `+"`raft_*`"+` from hashicorp/raft (see its documentation; `+"`raft_commitTime`"+` and `+"`raft_leader_lastContact`"+` are the ones to
watch), `+"`go_*`"+` and `+"`process_*`"+` from the Prometheus client.
`)
	return out.Flush()
}
