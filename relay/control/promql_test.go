package control_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// promTokens are the words of a PromQL expression: strings, durations and numbers, names, variables of Grafana, operators.
var promTokens = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|\$\{?[a-zA-Z_]+\}?|[0-9]+[smhdwy]|[0-9]+(?:\.[0-9]+)?|[a-zA-Z_][a-zA-Z0-9_]*|=~|!~|!=|==|<=|>=|[-+*/%^(){}\[\],=<>:]|\S`)

// promWords are the names of PromQL that are no metric and need no parenthesis behind them.
var promWords = []string{"and", "or", "unless", "bool", "offset", "inf", "nan"}

// promLists are the words that a list of labels in parentheses follows.
var promLists = []string{"by", "without", "on", "ignoring", "group_left", "group_right"}

// promQuery is what an expression names.
type promQuery struct {
	metrics   []string
	selectors []promSelector
	grouped   []string // labels of by, on and the like
}

// promSelector is one matcher of a metric, {label="values"}.
type promSelector struct {
	metric, label string
	values        []string // of a regular expression: its alternatives
}

// parsePromQL finds the metrics and labels of an expression. It is no full parser: it knows what stands where a metric stands, and that brackets
// come in pairs.
func parsePromQL(expr string) (q promQuery, err error) {
	tokens := promTokens.FindAllString(expr, -1)
	at := func(i int) string {
		if i < 0 || i >= len(tokens) {
			return ""
		}
		return tokens[i]
	}
	var open []string
	closing := map[string]string{")": "(", "}": "{", "]": "["}
	list := false // inside the parentheses of by (…)
	for i, tok := range tokens {
		switch {
		case tok == "(" || tok == "{" || tok == "[":
			open = append(open, tok)
			list = tok == "(" && slices.Contains(promLists, at(i-1))
		case closing[tok] != "":
			if len(open) == 0 || open[len(open)-1] != closing[tok] {
				return q, fmt.Errorf("%s: %s closes nothing", expr, tok)
			}
			open, list = open[:len(open)-1], false
		case !isPromName(tok):
			if len(tok) == 1 && !strings.Contains("+-*/%^=<>,:0123456789", tok) {
				return q, fmt.Errorf("%s: %q means nothing", expr, tok)
			}
		case len(open) > 0 && open[len(open)-1] == "{":
			if isPromMatch(at(i+1)) && strings.HasPrefix(at(i+2), `"`) && len(q.metrics) > 0 {
				q.selectors = append(q.selectors, promSelector{q.metrics[len(q.metrics)-1], tok, strings.Split(strings.Trim(at(i+2), `"`), "|")})
				continue
			}
			return q, fmt.Errorf("%s: what of %s?", expr, tok)
		case list:
			q.grouped = append(q.grouped, tok)
		case at(i+1) == "(" || slices.Contains(promLists, tok) || slices.Contains(promLists, at(i+1)) && at(i+2) == "(" && promAggregates[tok]:
			if !promFunctions[tok] && !promAggregates[tok] && !slices.Contains(promLists, tok) && !slices.Contains(promWords, tok) {
				return q, fmt.Errorf("%s: no function is called %s", expr, tok)
			}
		case slices.Contains(promWords, tok):
		default:
			q.metrics = append(q.metrics, tok)
		}
	}
	switch {
	case len(open) > 0:
		return q, fmt.Errorf("%s: %s is not closed", expr, open[len(open)-1])
	case len(q.metrics) == 0:
		return q, fmt.Errorf("%s: names no metric", expr)
	}
	return q, nil
}

var promAggregates = map[string]bool{"sum": true, "max": true, "min": true, "avg": true, "count": true}

var promFunctions = map[string]bool{
	"increase": true, "rate": true, "abs": true, "histogram_quantile": true, "vector": true, "scalar": true, "time": true,
	"absent": true, "changes": true, "max_over_time": true, "min_over_time": true,
}

func isPromName(tok string) bool {
	return regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`).MatchString(tok)
}

func isPromMatch(tok string) bool { return tok == "=" || tok == "!=" || tok == "=~" || tok == "!~" }
