package ctl

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/thinrelay/thinrelay/relay/control"
)

func (a *app) membersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "members",
		Short: "List the members of the group, or remove one",
		Long: `List the members of the group. AGE is how old the member's own figures are;
HTTP is where its control API listens: on loopback only its own host reaches it.`,
		Example: `  relayctl members
  relayctl members remove us-1`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), readTimeout)
			defer cancel()
			list, err := c.Members(ctx)
			if err != nil {
				return unheard(err)
			}
			if a.asJSON {
				err = a.printJSON(list)
			} else {
				_, err = fmt.Fprint(a.out, renderMemberList(list, a.colours))
			}
			if err == nil && !list.Quorum.OK {
				return exitWith(exitDown)
			}
			return err
		},
	}
	cmd.AddCommand(a.removeCommand())
	return cmd
}

func (a *app) removeCommand() *cobra.Command {
	var live bool
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Take a member out of the group for good",
		Long: `Take a member out of the group for good: it no longer counts for the quorum.
Stop its relayd first: one that is still heard is not removed, unless --live is
given. To bring the host back, wipe its data directory and start it: it joins as
a new member.`,
		Example: `  relayctl members remove us-1`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), 3*readTimeout)
			defer cancel()
			if !live {
				if err := refuseLive(ctx, c, args[0]); err != nil {
					return err
				}
			}
			if err := c.RemoveMember(ctx, args[0]); err != nil {
				return err
			}
			if a.asJSON {
				return a.printJSON(map[string]string{"removed": args[0]})
			}
			_, err = fmt.Fprintf(a.out, "%s is no longer a member\n", clean(args[0]))
			return err
		},
	}
	cmd.Flags().BoolVar(&live, "live", false, "also a member that is still heard: its relayd ends, and the group has less in reserve")
	return cmd
}

// refuseLive refuses to remove a member that runs: most likely another one was meant. Whether the leader may be removed, or one that is none,
// is for the group to say.
func refuseLive(ctx context.Context, c *control.Client, name string) error {
	list, err := c.Members(ctx)
	if err != nil {
		return err
	}
	for _, m := range list.Members {
		if m.Name == name && !m.Stale && (m.Role == control.RoleFollower || m.Role == control.RoleNonvoter) {
			return fail(exitDegraded, "%s is running: it was heard %s ago\n  next: stop its relayd so that it stays stopped, then repeat this; with --live it is removed as it is", clean(name), ageText(m.AgeMS))
		}
	}
	return nil
}

func renderMemberList(list control.MemberList, colours bool) string {
	t := table{columns: []column{{"NODE", 5}, {"REGION", 0}, {"ROLE", 0}, {"HTTP", 0}, {"AGE", 0}, {"VERSION", 6}}}
	for _, m := range list.Members {
		age := "-"
		if m.Name != list.Node {
			age = ageText(m.AgeMS)
		}
		row := []cell{text(clean(m.Name)), text(orDash(clean(m.Region))), text(clean(string(m.Role))), text(orDash(clean(m.HTTP))), text(age), text(orDash(clean(m.Version)))}
		if m.Note != "" {
			row = append(row, cell{clean(m.Note), yellow})
		}
		t.add(row...)
	}
	return t.render(colours)
}
