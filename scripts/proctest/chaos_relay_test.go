package proctest_test

import (
	"math/rand/v2"
	"syscall"
	"time"
)

// relayKinds happen to the process of a relay.
var relayKinds = []kind{
	{name: "kill", prepare: func(c *chaos, r *rand.Rand) *fault { return c.killed(c.someRelay(r), r) }},
	{name: "kill-leader", inRound: true, prepare: func(c *chaos, r *rand.Rand) *fault {
		leader, _ := c.leads()
		return c.killed(leader, r)
	}},
	{name: "term", prepare: (*chaos).terminated},
	{name: "pause", prepare: (*chaos).paused},
	{name: "pause-leader", inRound: true, prepare: func(c *chaos, r *rand.Rand) *fault {
		leader, _ := c.leads()
		return c.stopped(leader, lasting(r, 100*time.Millisecond, 5*time.Second))
	}},
	{name: "step-down", inRound: true, prepare: (*chaos).steppedDown},
	{name: "region", inRound: true, prepare: (*chaos).regionLost},
}

// someRelay is the leader, as often as not, or any.
func (c *chaos) someRelay(r *rand.Rand) string {
	if leader, _ := c.leads(); leader != "" && r.IntN(2) == 0 {
		return leader
	}
	return oneOf(r, relayNames)
}

// killed is kill -9, and a start a while later.
func (c *chaos) killed(name string, r *rand.Rand) *fault {
	if name == "" || c.relays[name].pid() == 0 {
		return nil
	}
	return &fault{
		what: name + c.part(name), locks: []string{"process " + name}, lasts: lasting(r, 200*time.Millisecond, 10*time.Second),
		begin: func() {
			c.down[name]++
			c.relays[name].kill()
		},
		heal: func() { c.up(name) }, struck: c.ends(name),
	}
}

// ends remembers the process of a relay; it reports whether that runs no more.
func (c *chaos) ends(name string) func() bool {
	was := c.relays[name].pid()
	return func() bool { return was != 0 && c.relays[name].pid() != was }
}

// up lets a relay run that a fault kept down.
func (c *chaos) up(name string) {
	if c.down[name]--; c.down[name] == 0 && c.relays[name].pid() == 0 {
		c.relays[name].start(c.t)
	}
}

// terminated is SIGTERM, and a start a while later.
func (c *chaos) terminated(r *rand.Rand) *fault {
	name := c.someRelay(r)
	relay := c.relays[name]
	if relay.pid() == 0 {
		return nil
	}
	var at time.Time
	return &fault{
		what: name + c.part(name), locks: []string{"process " + name}, lasts: lasting(r, 500*time.Millisecond, 10*time.Second),
		begin: func() {
			at = time.Now()
			c.down[name]++
			relay.signal(syscall.SIGTERM)
		},
		heal: func() {
			if !within(time.Until(at.Add(40*time.Second)), func() bool { return relay.pid() == 0 }) {
				c.fail("%s does not end within 40s of SIGTERM", name)
				relay.kill()
			}
			c.up(name)
		},
		struck: c.ends(name),
	}
}

// paused is SIGSTOP for 0.1 to 60 s.
func (c *chaos) paused(r *rand.Rand) *fault {
	return c.stopped(c.someRelay(r), lasting(r, 100*time.Millisecond, time.Minute))
}

func (c *chaos) stopped(name string, lasts time.Duration) *fault {
	if name == "" || c.relays[name].pid() == 0 {
		return nil
	}
	ended, stands := c.ends(name), false
	var from time.Time
	return &fault{
		what: name + c.part(name), locks: []string{"process " + name}, lasts: lasts,
		begin: func() {
			from = time.Now()
			c.relays[name].signal(syscall.SIGSTOP)
			stands = within(time.Second, func() bool { return stopped(c.relays[name].pid()) })
		},
		heal: func() {
			c.afflicts[name] = c.afflicts[name].Add(time.Since(from)) // it may have been about to end for that; see mayEnd
			c.relays[name].signal(syscall.SIGCONT)
		},
		struck: func() bool { return stands && !ended() },
	}
}

// steppedDown is a planned hand-over, whatever else goes on.
func (c *chaos) steppedDown(*rand.Rand) *fault {
	leader, _ := c.leads()
	if leader == "" {
		return nil
	}
	done := make(chan bool, 1)
	return &fault{
		what:  leader,
		begin: func() { go func() { done <- c.relays[leader].ctlQuietly("--json", "step-down", "--now") }() },
		struck: func() bool { // what was refused, or found nobody, is none
			select {
			case ok := <-done:
				return ok
			default:
				return false
			}
		},
	}
}

// regionLost is the loss of the leader and the active replica at once.
func (c *chaos) regionLost(r *rand.Rand) *fault {
	leader, s := c.leads()
	replica := c.replicas[s.Active]
	if leader == "" || replica == nil || !replica.Alive() {
		return nil
	}
	f := c.killed(leader, r)
	if f == nil {
		return nil
	}
	kill, start, ended, node := f.begin, f.heal, f.struck, replica.Node()
	f.struck = func() bool { return ended() && replica.Node() != node }
	f.what, f.locks = leader+" and "+s.Active, append(f.locks, "replica "+s.Active)
	f.begin = func() {
		kill()
		replica.Kill()
	}
	f.heal = func() {
		start()
		c.revive(replica)
	}
	return f
}

// part says what a relay is at the moment.
func (c *chaos) part(name string) string {
	if leader, _ := c.leads(); leader == name {
		return " (leader)"
	}
	return ""
}
