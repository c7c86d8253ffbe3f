package ctl

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/thinrelay/thinrelay/relay/control"
)

func (a *app) blocksCommand() *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "blocks",
		Short: "List our blocks that the member saw lately",
		Long: `List our blocks that the member saw lately, newest first: those that left the
group, those that came from the network without having left it (state network),
and those the member refused, with the reason. Blocks of other producers are not
listed. LEAD is how long before its slot time a block was forwarded or refused;
negative: after it. LEAD and SOURCE of a block that another member sent are known
to that member: ask the leader.`,
		Example: `  relayctl blocks
  relayctl blocks --limit 100 --json | jq '.[] | select(.state == "refused")'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 || limit > maxBlocks {
				return fail(exitDegraded, "--limit %d\n  next: give a number from 1 to 500", limit)
			}
			c, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), readTimeout)
			defer cancel()
			blocks, err := c.Blocks(ctx, limit)
			if err != nil {
				return err
			}
			if a.asJSON {
				return a.printJSON(blocks)
			}
			_, err = fmt.Fprint(a.out, renderBlocks(blocks, a.colours))
			return err
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 24, "how many, at most 500")
	return cmd
}

// maxBlocks is the most that a relay lists.
const maxBlocks = 500

func renderBlocks(blocks []control.Block, colours bool) string {
	if len(blocks) == 0 {
		return "no block seen yet\n"
	}
	t := table{columns: []column{{"HEIGHT", 11}, {"ID", 8}, {"SLOT", 12}, {"PRODUCER", 12}, {"STATE", 9}, {"LEAD", 6}, {"SOURCE", 0}}}
	for _, b := range blocks {
		state, tone := string(b.State), plain
		switch b.State {
		case control.BlockForwarded:
			tone = green
		case control.BlockRefused:
			tone = red
			state += ": " + b.Reason
		}
		lead := "-"
		if b.LeadMS != nil {
			lead = fmt.Sprintf("%dms", *b.LeadMS)
		}
		t.add(text(fmt.Sprintf("#%d", b.Num)), text(shortID(b.ID)), text(b.SlotTime.UTC().Format("15:04:05.000")), text(clean(b.Producer)),
			cell{clean(state), tone}, text(lead), text(orDash(clean(b.Source))))
	}
	return t.render(colours)
}
