package control_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/thinrelay/thinrelay/relay/control"
)

const deployFolder = "../../deploy/"

// targetLabels are those that Prometheus adds to what it scrapes, and le of histograms.
var targetLabels = []string{"job", "instance", "node", "region", "chain", "le"}

// alertRules is deploy/alerts.yml.
type alertRules struct {
	Groups []struct {
		Name  string `yaml:"name"`
		Rules []struct {
			Alert       string            `yaml:"alert"`
			Expr        string            `yaml:"expr"`
			For         string            `yaml:"for"`
			Labels      map[string]string `yaml:"labels"`
			Annotations map[string]string `yaml:"annotations"`
		} `yaml:"rules"`
	} `yaml:"groups"`
}

func readDeploy(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(deployFolder + name)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func strict(t *testing.T, name string, v any) {
	t.Helper()
	if err := yaml.UnmarshalWithOptions(readDeploy(t, name), v, yaml.Strict()); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// metricTable is what the relay serves: for each metric its labels, and for each label its fixed values, if it has any.
func metricTable(t *testing.T) map[string]map[string][]string {
	t.Helper()
	m := control.NewMetrics("0.1.0")
	record(m)
	served := map[string]map[string][]string{"up": {}}
	for _, line := range strings.Split(scrape(t, m), "\n") {
		if name := regexp.MustCompile(`^[a-z_]+`).FindString(line); name != "" {
			served[name] = map[string][]string{}
		}
	}
	var doc strings.Builder
	if err := control.WriteMetricsDoc(&doc); err != nil {
		t.Fatal(err)
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| [a-z]+ \\| ([^|]*) \\|").FindAllStringSubmatch(doc.String(), -1) {
		names, values, fixed := strings.Cut(row[2], ": ")
		labels := map[string][]string{}
		for _, name := range strings.Split(names, ", ") {
			if labels[name] = nil; fixed {
				labels[name] = strings.Split(values, ", ")
			}
		}
		served[row[1]] = labels
	}
	return served
}

// checkQuery checks one expression against what is served.
func checkQuery(t *testing.T, where, expr string, served map[string]map[string][]string) {
	t.Helper()
	q, err := parsePromQL(expr)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	labels := slices.Clone(targetLabels)
	for _, metric := range q.metrics {
		known, ok := served[metric]
		if !ok {
			t.Errorf("%s: no metric is called %s", where, metric)
		}
		for label := range known {
			labels = append(labels, label)
		}
	}
	for _, s := range q.selectors {
		values, ok := served[s.metric][s.label]
		if !ok && !slices.Contains(targetLabels, s.label) {
			t.Errorf("%s: %s has no label %s", where, s.metric, s.label)
		}
		for _, v := range s.values {
			if len(values) > 0 && !slices.Contains(values, v) {
				t.Errorf("%s: %s of %s is never %q", where, s.label, s.metric, v)
			}
		}
	}
	for _, label := range q.grouped {
		if !slices.Contains(labels, label) {
			t.Errorf("%s: groups by %s, which none of its metrics has", where, label)
		}
	}
}

// TestAlertRules checks that the rules parse, ask for what is served, and that the operations guide says what to do.
func TestAlertRules(t *testing.T) {
	var rules alertRules
	strict(t, "alerts.yml", &rules)
	guide, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	served := metricTable(t)
	seen := map[string]bool{}
	for _, group := range rules.Groups {
		for _, r := range group.Rules {
			if r.Alert == "" || seen[r.Alert] {
				t.Errorf("alert %q: no name of its own", r.Alert)
			}
			seen[r.Alert] = true
			checkQuery(t, r.Alert, r.Expr, served)
			if r.For != "" && !regexp.MustCompile(`^[0-9]+[smh]$`).MatchString(r.For) {
				t.Errorf("%s: for: %s is no duration", r.Alert, r.For)
			}
			if s := r.Labels["severity"]; s != "page" && s != "ticket" {
				t.Errorf("%s: severity %q", r.Alert, s)
			}
			if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s: says nothing", r.Alert)
			}
			if !strings.Contains(string(guide), "**"+r.Alert+"**") {
				t.Errorf("docs/operations.md does not say what to do about %s", r.Alert)
			}
		}
	}
	if len(seen) == 0 {
		t.Error("no alerts")
	}
	for _, match := range regexp.MustCompile(`\*\*(Relay[A-Za-z]+)\*\*`).FindAllStringSubmatch(string(guide), -1) {
		if !seen[match[1]] {
			t.Errorf("docs/operations.md explains %s, which is no alert", match[1])
		}
	}
}

// TestBoundsOfHistograms asks for a whole bound of a histogram, le="0", as Prometheus 2 and Prometheus 3 store it: as it is served, and as "0.0".
// An alert on one of them alone never comes under the other.
func TestBoundsOfHistograms(t *testing.T) {
	whole := regexp.MustCompile(`^-?[0-9]+$`)
	var rules alertRules
	strict(t, "alerts.yml", &rules)
	asked := 0
	for _, group := range rules.Groups {
		for _, r := range group.Rules {
			q, err := parsePromQL(r.Expr)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range q.selectors {
				if s.label != "le" {
					continue
				}
				asked++
				for _, v := range s.values {
					if whole.MatchString(v) && !slices.Contains(s.values, v+".0") {
						t.Errorf("%s: le is %q; Prometheus 3 has it as %q", r.Alert, s.values, v+".0")
					}
				}
			}
		}
	}
	if asked == 0 {
		t.Error("no rule asks for a bound")
	}
}

// TestQuantilesComeWithBounds has a bound at what a rule compares a quantile of a histogram with. Prometheus guesses a quantile within its bucket:
// a disk of 35 ms was said to take 59, over a limit of 50.
func TestQuantilesComeWithBounds(t *testing.T) {
	m := control.NewMetrics("")
	record(m)
	served := scrape(t, m)
	var rules alertRules
	strict(t, "alerts.yml", &rules)
	compared := 0
	for _, group := range rules.Groups {
		for _, r := range group.Rules {
			rule := regexp.MustCompile(`^histogram_quantile\(.*rate\((\w+)\[.* > ([0-9.]+)$`).FindStringSubmatch(r.Expr)
			if rule == nil {
				continue
			}
			compared++
			if bound := rule[1] + `{le="` + rule[2] + `"}`; !strings.Contains(served, bound) {
				t.Errorf("%s: no bucket %s", r.Alert, bound)
			}
		}
	}
	if compared < 2 {
		t.Errorf("%d rules compare a quantile; where are the others?", compared)
	}
}

// TestDashboard checks every query of the Grafana dashboard.
func TestDashboard(t *testing.T) {
	var board struct {
		Panels []struct {
			Title   string `json:"title"`
			Type    string `json:"type"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
		Annotations struct {
			List []struct {
				Name string `json:"name"`
				Expr string `json:"expr"`
			} `json:"list"`
		} `json:"annotations"`
	}
	if err := json.Unmarshal(readDeploy(t, "grafana.json"), &board); err != nil {
		t.Fatal(err)
	}
	served := metricTable(t)
	queries := 0
	for _, p := range board.Panels {
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q asks nothing", p.Title)
		}
		for _, target := range p.Targets {
			queries++
			checkQuery(t, p.Title, target.Expr, served)
		}
	}
	for _, a := range board.Annotations.List {
		checkQuery(t, a.Name, a.Expr, served)
	}
	if queries < 20 {
		t.Errorf("%d queries; where is the dashboard?", queries)
	}
}

// TestPrometheusConfig checks what the rules rely on: the job's name, the labels of the targets, the rules' file.
func TestPrometheusConfig(t *testing.T) {
	var cfg struct {
		Global     map[string]any `yaml:"global"`
		Alerting   map[string]any `yaml:"alerting"`
		RuleFiles  []string       `yaml:"rule_files"`
		ScrapeJobs []struct {
			Name    string `yaml:"job_name"`
			Targets []struct {
				Targets []string          `yaml:"targets"`
				Labels  map[string]string `yaml:"labels"`
			} `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	strict(t, "prometheus.yml", &cfg)
	for _, file := range cfg.RuleFiles {
		readDeploy(t, file)
	}
	var rules alertRules
	strict(t, "alerts.yml", &rules)
	jobs := map[string]bool{}
	for _, job := range cfg.ScrapeJobs {
		jobs[job.Name] = true
		for _, target := range job.Targets {
			if target.Labels["node"] == "" || target.Labels["region"] == "" {
				t.Errorf("%v has no node or no region, by which the rules join", target.Targets)
			}
		}
	}
	for _, match := range regexp.MustCompile(`job="([^"]*)"`).FindAllStringSubmatch(string(readDeploy(t, "alerts.yml"))+strings.ReplaceAll(string(readDeploy(t, "grafana.json")), `\"`, `"`), -1) {
		if !jobs[match[1]] {
			t.Errorf("a query asks for the job %s, which prometheus.yml does not have", match[1])
		}
	}
}

// TestParsePromQL makes sure that the checks above can fail.
func TestParsePromQL(t *testing.T) {
	q, err := parsePromQL(`sum by (le, node) (rate(a_bucket{state=~"x|y"}[10m])) / on (peer) b == bool 1.5 and vector(0) or c offset 5m`)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a_bucket", "b", "c"}; !slices.Equal(q.metrics, want) {
		t.Errorf("metrics %v, want %v", q.metrics, want)
	}
	if want := []string{"le", "node", "peer"}; !slices.Equal(q.grouped, want) {
		t.Errorf("grouped by %v, want %v", q.grouped, want)
	}
	if len(q.selectors) != 1 || q.selectors[0].metric != "a_bucket" || !slices.Equal(q.selectors[0].values, []string{"x", "y"}) {
		t.Errorf("selectors %v", q.selectors)
	}
	for _, bad := range []string{"sum(a", "sum(a))", "rate(a[5m)", "rat(a)", "1 > 0", `a{b}`, "a ; b", ""} {
		if _, err := parsePromQL(bad); err == nil {
			t.Errorf("%q is taken for a query", bad)
		}
	}
}
