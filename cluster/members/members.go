// Package members is who is there: the members of the cluster find each other by gossip (memberlist), tell each other
// where they listen and what they can reach, and hear of changes.
//
// It guarantees that only holders of the cluster's key are heard, that a relay of a cluster with another label is not,
// and that a member which was away is looked for until it is back. A key file is read again when it changes, so keys are
// replaced without a restart: add the new key as second line everywhere, then make it the first line everywhere, then
// remove the old one.
//
// It is no failure detector: a crashed member is reported gone after many seconds, by design, since gossip across regions
// must not flap. Raft decides who leads, and the transport who may connect; what is told here is advice. It keeps no
// state on disk.
package members

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/memberlist"

	"github.com/thinrelay/thinrelay/cluster/internal/quiet"
)

const (
	streamTimeout  = 5 * time.Second // memberlist's own streams
	leaveTimeout   = time.Second     // for each half of the goodbye
	updateTimeout  = 2 * time.Second
	keyInterval    = 5 * time.Second
	resolveTimeout = 5 * time.Second
	logInterval    = time.Minute
	tellAgain      = 3 * time.Second
	firstJoinPause = time.Second
	lastJoinPause  = 30 * time.Second
	forgetAfter    = 72 * time.Hour // members that are gone
)

// ErrLoopback is returned by Open for an address that reaches us from this host alone.
var ErrLoopback = errors.New("the others cannot reach it, write this host's IP into cluster.advertise")

// Config says who we are and where the others may be.
type Config struct {
	// Node is our unique name.
	Node string

	// Label keeps clusters apart that share a network and perhaps a key. All members need the same. At most 255 bytes.
	Label string

	// KeyFile holds the gossip keys (LoadKeys). All members need the same.
	KeyFile string

	// KeyInterval is the time between looks at KeyFile. Default 5 s.
	KeyInterval time.Duration

	// Bind is the "host:port" to listen on, with TCP and UDP. Port 0 picks one.
	Bind string

	// Advertise is the "host:port" the others reach Bind at. Names are resolved once. Empty: Bind's own, or a private
	// address of this host when Bind is a wildcard.
	Advertise string

	// Join holds "host:port" of other members; our own may be among them. Names are resolved at each try.
	Join []string

	// Meta is what we tell at first; Update changes it.
	Meta Meta

	// Remember and Recall, when not nil, carry bytes between members: what one's Remember returns reaches another's Recall when they meet and
	// some 15 s later again and again, both ways. They must not block.
	Remember func() []byte
	Recall   func([]byte)

	// Logger receives one line per event an operator can act on. Nil: none.
	Logger hclog.Logger

	// Tune may change memberlist's configuration before it is used, for tests: timing, or a transport around the given.
	Tune func(*memberlist.Config)
}

// State is whether a member is there.
type State string

// The states of a member.
const (
	Alive State = "alive"
	Gone  State = "gone" // not heard of for long: crashed, or cut off
	Left  State = "left" // has said goodbye
)

// Member is what is known of one member.
type Member struct {
	Name  string
	Addr  netip.AddrPort // where it gossips
	State State
	Since time.Time     // of State, by our clock
	RTT   time.Duration // shortest of the last probes; zero before the first, and for ourselves
	Meta  Meta

	probes [probes]time.Duration // the last ones, the newest first
}

// probes is of how many probes RTT is the shortest. One that a busy machine
// answers late tells nothing of the distance, and Raft's timeouts follow it.
const probes = 8

// Members is the view of one member. It knows itself, too.
type Members struct {
	cfg   Config
	log   hclog.Logger
	quiet *quiet.Limiter
	keys  *keys
	list  *memberlist.Memberlist
	net   *transport
	own   netip.AddrPort

	updated chan struct{} // Update has changed meta

	mu      sync.Mutex
	meta    Meta
	told    time.Time // when meta was last to be spread
	table   map[string]Member
	changed chan struct{} // closed at the next change

	ending sync.Mutex // memberlist panics when it is left after its end
	ended  bool
}

// Open listens and is a member alone at first: Run finds the others. ctx bounds the look-up of the names in the
// configuration. The caller runs Run, or Close when it never does.
func Open(ctx context.Context, cfg Config) (*Members, error) {
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	if cfg.KeyInterval <= 0 {
		cfg.KeyInterval = keyInterval
	}
	m := &Members{
		cfg:     cfg,
		log:     cfg.Logger,
		quiet:   quiet.New(logInterval),
		updated: make(chan struct{}, 1),
		meta:    cfg.Meta,
		told:    time.Now(),
		table:   make(map[string]Member),
		changed: make(chan struct{}),
	}
	var err error
	if m.keys, err = openKeys(cfg.KeyFile, cfg.Logger); err != nil {
		return nil, err
	}
	bind, err := resolve(ctx, cfg.Bind, false)
	if err != nil {
		return nil, fmt.Errorf("gossip address: %w", err)
	}
	conf := m.config()
	conf.BindAddr, conf.BindPort = bind.Addr().String(), int(bind.Port())
	if cfg.Advertise != "" {
		advertise, err := resolve(ctx, cfg.Advertise, bind.Addr().Is4()) // who listens at 0.0.0.0 is not reached by IPv6
		if err != nil {
			return nil, fmt.Errorf("advertised gossip address: %w", err)
		}
		if err := m.reachable(ctx, advertise.Addr()); err != nil {
			return nil, fmt.Errorf("advertised gossip address %s: %w", cfg.Advertise, err)
		}
		conf.AdvertiseAddr, conf.AdvertisePort = advertise.Addr().String(), int(advertise.Port())
	}
	if m.net, err = listen(conf); err != nil {
		return nil, fmt.Errorf("listen for gossip on %s: %w", cfg.Bind, err)
	}
	conf.Transport = m.net
	if cfg.Tune != nil {
		cfg.Tune(conf)
	}
	if m.list, err = memberlist.Create(conf); err != nil {
		return nil, errors.Join(fmt.Errorf("start gossip on %s (is cluster.advertise needed?): %w", cfg.Bind, err), m.net.Shutdown())
	}
	m.own = addrOf(m.list.LocalNode())
	return m, nil
}

// config is memberlist's for regions tens of milliseconds apart, quicker than its WAN preset where that costs nothing.
func (m *Members) config() *memberlist.Config {
	conf := memberlist.DefaultWANConfig()
	conf.Name = m.cfg.Node
	conf.Label = m.cfg.Label
	conf.Keyring = m.keys.ring
	conf.Delegate = m
	conf.Events = m
	conf.Ping = m
	conf.Conflict = m
	conf.Logger = m.logger()
	conf.TCPTimeout = streamTimeout
	conf.GossipInterval = 200 * time.Millisecond
	conf.ProbeInterval = 2 * time.Second
	conf.ProbeTimeout = time.Second
	conf.PushPullInterval = 15 * time.Second
	conf.DeadNodeReclaimTime = 10 * time.Second // a container comes back with another address
	return conf
}

// Addr returns where we gossip, as others see it.
func (m *Members) Addr() netip.AddrPort { return m.own }

// Members returns everybody we know of, by name, ourselves included. Members that left or are gone stay for three days.
func (m *Members) Members() []Member {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]Member, 0, len(m.table))
	for name, member := range m.table {
		if member.State != Alive && time.Since(member.Since) > forgetAfter {
			delete(m.table, name)
			continue
		}
		out = append(out, member.clone())
	}
	slices.SortFunc(out, func(a, b Member) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Member returns what is known of one member.
func (m *Members) Member(name string) (Member, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	member, ok := m.table[name]
	return member.clone(), ok
}

func (m Member) clone() Member {
	m.Meta.Replicas = slices.Clone(m.Meta.Replicas)
	return m
}

// Changed returns a channel that is closed at the next change of a member's state, address or Meta. Ask for it before
// looking at the members, and again after each change.
func (m *Members) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// Update changes what we tell about ourselves. It does not wait: Run spreads the newest. What is the same is told again each few seconds only, since
// each time all of us tell each other. Who missed it on a bad line must not wait for long: whether we can lead is among it.
func (m *Members) Update(meta Meta) {
	meta.Replicas = slices.Clone(meta.Replicas)
	m.mu.Lock()
	same := bytes.Equal(meta.Encode(MaxMeta), m.meta.Encode(MaxMeta)) && time.Since(m.told) < tellAgain
	if !same {
		m.meta, m.told = meta, time.Now()
	}
	m.mu.Unlock()
	if same {
		return
	}
	select {
	case m.updated <- struct{}{}:
	default:
	}
}

// Run joins the others, keeps looking for members that are missing, spreads updates and reads new keys, until ctx ends.
// Then it says goodbye, stops listening and returns nil.
func (m *Members) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	stop := context.AfterFunc(ctx, m.net.cancel) // streams under way end at once
	wg.Go(func() { m.join(ctx) })
	m.spread(ctx)
	stop()
	m.net.cancel()
	wg.Wait()
	return m.end(true)
}

// Close stops without a goodbye. Run does it, too.
func (m *Members) Close() error { return m.end(false) }

func (m *Members) end(goodbye bool) error {
	m.ending.Lock()
	defer m.ending.Unlock()
	if m.ended {
		return nil
	}
	m.ended = true
	m.net.cancel()
	if goodbye {
		m.mu.Lock()
		m.meta.leaving = true
		m.mu.Unlock()
		err := m.list.UpdateNode(leaveTimeout)
		if err = errors.Join(err, m.list.Leave(leaveTimeout)); err != nil {
			m.log.Debug("left without a goodbye", "error", err)
		}
	}
	return m.list.Shutdown()
}

// reachable says why nobody could reach us at an address. Many a host has its own name in /etc/hosts, for 127.0.1.1: others that
// are told so talk to themselves, and take us for gone again and again.
func (m *Members) reachable(ctx context.Context, at netip.Addr) error {
	if !at.IsLoopback() {
		return nil
	}
	for _, address := range m.cfg.Join {
		other, err := resolve(ctx, address, false)
		if err == nil && !other.Addr().IsLoopback() {
			return fmt.Errorf("%w: it is %s here, and %s is elsewhere", ErrLoopback, at, address)
		}
	}
	return nil
}

func (m *Members) spread(ctx context.Context) {
	look := time.NewTicker(m.cfg.KeyInterval)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			m.keys.refresh()
		case <-m.updated:
			if err := m.list.UpdateNode(updateTimeout); err != nil {
				m.log.Debug("own metadata is slow to spread", "error", err)
			}
		}
	}
}

// resolve finds the first IP of "host:port", of those of IPv4 if only they will do and there is one. No host means all of ours.
func resolve(ctx context.Context, address string, only4 bool) (netip.AddrPort, error) {
	all, err := resolveAll(ctx, address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if i := slices.IndexFunc(all, func(a netip.AddrPort) bool { return a.Addr().Is4() }); only4 && i > 0 {
		return all[i], nil
	}
	return all[0], nil
}

// resolveAll finds all IPs of "host:port", at least one.
func resolveAll(ctx context.Context, address string) ([]netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port of %q: %w", address, err)
	}
	at := func(ip netip.Addr) netip.AddrPort { return netip.AddrPortFrom(ip.Unmap(), uint16(port)) }
	if host == "" {
		return []netip.AddrPort{at(netip.IPv4Unspecified())}, nil
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{at(ip)}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", host, err)
	}
	all := make([]netip.AddrPort, 0, len(ips))
	for _, ip := range ips {
		all = append(all, at(ip))
	}
	return all, nil
}
