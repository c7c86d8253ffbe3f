package conn

import (
	"time"

	"golang.org/x/time/rate"
)

// What may be inflated of a connection's transactions: 8 MiB a second, and as much at once. nodeos compresses none unless
// the sender asks for it, so that this is far more than a chain carries; it takes some 25 ms of a processor, where 330 kB/s
// of transactions made for it would take all of one.
const (
	inflationRate  = 8 << 20 // bytes a second
	inflationBurst = 8 << 20
)

func newInflation() *rate.Limiter { return rate.NewLimiter(inflationRate, inflationBurst) }

// Inflatable is how many bytes may be inflated now of what this connection brought.
func (c *Conn) Inflatable() int { return max(0, int(c.inflation.Tokens())) }

// Inflated says that so many bytes were, at most a little more than Inflatable said.
func (c *Conn) Inflated(n int) {
	if n > 0 {
		c.inflation.ReserveN(time.Now(), min(n, inflationBurst))
	}
}
