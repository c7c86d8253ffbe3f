package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/eoscanada/eos-go/ecc"

	"github.com/thinrelay/thinrelay/cluster/members"
)

// ErrKeyForm is returned for a private key in a form that the relay does not read.
var ErrKeyForm = errors.New("the relay reads K1 keys in wallet import format: 51 characters that start with 5")

// parsePublicKey reads a K1 public key, the only kind that handshakes are checked with.
func parsePublicKey(text string) (ecc.PublicKey, error) {
	key, err := ecc.NewPublicKey(text)
	if err != nil {
		return ecc.PublicKey{}, err
	}
	if key.Curve != ecc.CurveK1 {
		return ecc.PublicKey{}, errors.New("not a K1 key")
	}
	if err := key.Validate(); err != nil {
		return ecc.PublicKey{}, err
	}
	if _, err := key.Key(); err != nil {
		return ecc.PublicKey{}, err
	}
	return key, nil
}

// PeerPublicKeys are the keys of downstream.peer_keys.
func (c Config) PeerPublicKeys() ([]ecc.PublicKey, error) {
	keys := make([]ecc.PublicKey, len(c.Downstream.PeerKeys))
	for i, text := range c.Downstream.PeerKeys {
		key, err := parsePublicKey(text)
		if err != nil {
			return nil, fmt.Errorf("downstream.peer_keys[%d]: %w", i, err)
		}
		keys[i] = key
	}
	return keys, nil
}

// UpstreamKey reads the key of upstream.peer_key_file; nil when none is set. No error holds any part of the key.
func (c Config) UpstreamKey() (*ecc.PrivateKey, error) {
	path := c.Upstream.PeerKeyFile
	if path == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the peer key: %w", err)
	}
	text := strings.TrimSpace(string(raw))
	// eos-go would read PVT_K1_ as if it were wallet import format, and a short PVT_ past its end.
	if !strings.HasPrefix(text, "5") {
		return nil, fmt.Errorf("read the peer key in %s: %w", path, ErrKeyForm)
	}
	key, err := ecc.NewPrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("read the peer key in %s: %w", path, err)
	}
	return key, nil
}

// ErrGossipKey is returned for a gossip key file that holds no usable key.
var ErrGossipKey = errors.New("a gossip key file holds one key per line, each 16, 24 or 32 bytes in base64")

// GossipKeys reads cluster.gossip_key_file, as the gossip does: the first key is used to send, all of them to receive, so that a new
// key can be handed out before it is used.
func (c Config) GossipKeys() ([][]byte, error) {
	raw, err := os.ReadFile(c.Cluster.GossipKeyFile)
	if err != nil {
		return nil, fmt.Errorf("read the gossip key: %w", err)
	}
	keys, err := members.ParseKeys(raw)
	if err != nil {
		return nil, fmt.Errorf("read the gossip key in %s: %w; %w", c.Cluster.GossipKeyFile, err, ErrGossipKey)
	}
	return keys, nil
}
