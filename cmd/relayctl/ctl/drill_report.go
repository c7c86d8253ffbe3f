package ctl

import (
	"fmt"
	"slices"

	"github.com/thinrelay/thinrelay/relay/control"
)

// drillReport is what a drill measured.
type drillReport struct {
	Runs  []control.StepDown `json:"runs"`
	Took  spread             `json:"took_ms"`
	Gap   *spread            `json:"gap_ms"` // null: measured in no run
	Lost  int                `json:"lost"`
	Moved int                `json:"moved"`          // how often leadership changed between two runs, by no run
	Error string             `json:"error,omitzero"` // why it was cut short
}

// spread sums up measurements in milliseconds.
type spread struct {
	P50 int64 `json:"p50"`
	P99 int64 `json:"p99"` // of few runs: their greatest
	Max int64 `json:"max"`
}

func (r drillReport) summed() drillReport {
	var took, gaps []int64
	r.Lost, r.Moved = 0, 0
	for i, run := range r.Runs {
		if r.moved(i) {
			r.Moved++
		}
		took = append(took, run.TookMS)
		if run.GapMS != nil {
			gaps = append(gaps, *run.GapMS)
		}
		r.Lost += run.Lost
	}
	r.Took = spreadOf(took)
	if len(gaps) > 0 {
		gap := spreadOf(gaps)
		r.Gap = &gap
	}
	if r.Runs == nil {
		r.Runs = []control.StepDown{}
	}
	return r
}

// moved says that a run found another leader than the run before had left.
func (r drillReport) moved(run int) bool {
	return run > 0 && r.Runs[run].From != r.Runs[run-1].To
}

func spreadOf(values []int64) spread {
	if len(values) == 0 {
		return spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := func(percent int) int64 { return sorted[(len(sorted)*percent+99)/100-1] }
	return spread{P50: rank(50), P99: rank(99), Max: sorted[len(sorted)-1]}
}

func (s spread) String() string {
	return fmt.Sprintf("p50 %s  p99 %s  max %s", ageText(s.P50), ageText(s.P99), ageText(s.Max))
}

func (r drillReport) render(colours bool) string {
	t := table{columns: []column{{"RUN", 0}, {"FROM", 0}, {"TO", 0}, {"TOOK", 0}, {"GAP", 0}, {"LOST", 0}}}
	for i, run := range r.Runs {
		tone := plain
		if run.Lost > 0 {
			tone = red
		}
		gap := "-"
		if run.GapMS != nil {
			gap = ageText(*run.GapMS)
		}
		t.add(text(fmt.Sprint(i+1)), text(clean(run.From)), text(clean(run.To)), text(ageText(run.TookMS)), text(gap), cell{fmt.Sprint(run.Lost), tone})
	}
	gap := "not measured"
	if r.Gap != nil {
		gap = r.Gap.String()
	}
	text := t.render(colours) + fmt.Sprintf("\nTOOK  %s\nGAP   %s\nLOST  %s in %s\n", r.Took, gap, blocksText(r.Lost), runsText(len(r.Runs)))
	for i, run := range r.Runs {
		if r.moved(i) {
			text += fmt.Sprintf("MOVED %s led after run %d, %s before run %d: that change was none of the drill's, see relayctl status\n",
				clean(r.Runs[i-1].To), i, clean(run.From), i+1)
		}
	}
	return text
}

func runsText(n int) string {
	if n == 1 {
		return "1 run"
	}
	return fmt.Sprintf("%d runs", n)
}
