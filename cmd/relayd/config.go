package main

import (
	"net/netip"
	"time"
)

// Config is what an operator sets: relay.yaml, with any key overridden by its environment variable (see keys). The yaml
// tag is the key; a file tag marks a path (secret: must be readable by its owner only) that is taken relative to the
// folder of the configuration file. deploy/relay.example.yaml says the same to the operator; a test keeps the two together.
type Config struct {
	Node      string   `yaml:"node"`
	Region    string   `yaml:"region"`
	DataDir   string   `yaml:"data_dir" file:"dir"`
	ChainID   string   `yaml:"chain_id"`
	Producers []string `yaml:"producers"`

	Downstream DownstreamConfig `yaml:"downstream"`
	Upstream   UpstreamConfig   `yaml:"upstream"`
	Cluster    ClusterConfig    `yaml:"cluster"`
	Failover   FailoverConfig   `yaml:"failover"`
	HTTP       HTTPConfig       `yaml:"http"`
	Log        LogConfig        `yaml:"log"`
}

// DownstreamConfig is the listener that replicas dial.
type DownstreamConfig struct {
	Listen    string         `yaml:"listen"`
	Allow     []netip.Prefix `yaml:"allow"`     // networks replicas dial from
	PeerKeys  []string       `yaml:"peer_keys"` // public keys; not empty: a replica must sign its handshake with one
	Observers []string       `yaml:"observers"` // agent names of nodes that never produce
}

// UpstreamConfig is the outside network.
type UpstreamConfig struct {
	Peers       []string `yaml:"peers"`                       // host:port of nodeos peers, dialled all at once
	PeerKeyFile string   `yaml:"peer_key_file" file:"secret"` // private key the relay signs its handshakes with
}

// ClusterConfig is the group of relays.
type ClusterConfig struct {
	Listen          string    `yaml:"listen"`           // Raft and link, mutual TLS
	Advertise       string    `yaml:"advertise"`        // host or host:port as the other members reach Listen
	Gossip          string    `yaml:"gossip"`           // membership, TCP and UDP
	Join            []string  `yaml:"join"`             // gossip addresses of the other members
	BootstrapExpect int       `yaml:"bootstrap_expect"` // members that must meet before the group is first formed; 0: only join one
	Timeouts        Heartbeat `yaml:"timeouts"`         // Raft's heartbeat timeout; the others follow from it

	TLS           TLSConfig `yaml:"tls"`
	GossipKeyFile string    `yaml:"gossip_key_file" file:"secret"`
}

// bootstrapUnset is ClusterConfig.BootstrapExpect before the operator has said how large the group is. There is no default: one
// relay that forms a group of its own by oversight would be a second speaker.
const bootstrapUnset = -1

// TLSConfig names the files of one TLS identity.
type TLSConfig struct {
	CA   string `yaml:"ca" file:"public"`
	Cert string `yaml:"cert" file:"public"`
	Key  string `yaml:"key" file:"secret"`
}

// FailoverConfig is how the speaking replica is chosen and replaced.
type FailoverConfig struct {
	Mode            string        `yaml:"mode"`             // ModeVotes or ModePassive
	Prefer          []string      `yaml:"prefer"`           // agent names, best first
	LateAfter       time.Duration `yaml:"late_after"`       // how late the active replica's block may be
	UnresolvedAfter time.Duration `yaml:"unresolved_after"` // 0: an unresolved mark waits for the network, however long
}

// The failover modes.
const (
	ModeVotes   = "votes"
	ModePassive = "passive"
)

// HTTPConfig is the API, the metrics and the status page.
type HTTPConfig struct {
	Listen    string    `yaml:"listen"`
	TokenFile string    `yaml:"token_file" file:"secret"` // bearer token that allows step-downs from other hosts
	TLS       TLSConfig `yaml:"tls"`                      // not set: plain HTTP; with CA, client certificates are asked for
}

// LogConfig is what is written to standard error.
type LogConfig struct {
	Level  string `yaml:"level"`
	Format string `yaml:"format"` // text or json
}

// DefaultConfig is what holds for every key that neither the file nor the environment sets.
func DefaultConfig() Config {
	return Config{
		DataDir: "/var/lib/relayd",
		Downstream: DownstreamConfig{
			Listen: "0.0.0.0:9876",
			// Opening the port to more than this host is the operator's decision.
			Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		},
		Cluster: ClusterConfig{
			Listen: "0.0.0.0:8300",
			Gossip: "0.0.0.0:7946",

			BootstrapExpect: bootstrapUnset,
		},
		Failover: FailoverConfig{Mode: ModeVotes, LateAfter: 150 * time.Millisecond},
		HTTP:     HTTPConfig{Listen: "127.0.0.1:9870"},
		Log:      LogConfig{Level: "info", Format: "text"},
	}
}

// Alone reports a relay that forms a group by itself: nobody to join, nobody expected and no certificate. It needs no
// cluster listener, no gossip and no secrets. Giving it certificates is how it gets ready for a second member.
func (c Config) Alone() bool {
	return c.Cluster.BootstrapExpect == 1 && len(c.Cluster.Join) == 0 && c.Cluster.TLS == TLSConfig{}
}

// Chain is the chain id set by the operator; false: it is learned from the first upstream.
func (c Config) Chain() (id [32]byte, set bool) {
	id, err := parseChainID(c.ChainID)
	return id, err == nil
}

// Heartbeat is Raft's heartbeat timeout; zero: chosen from the round trips between the members. The election and lease
// timeouts follow from it.
type Heartbeat time.Duration

// Duration is the timeout, 0 for auto.
func (h Heartbeat) Duration() time.Duration { return time.Duration(h) }

// String is "auto" or the duration.
func (h Heartbeat) String() string {
	if h == 0 {
		return "auto"
	}
	return time.Duration(h).String()
}
