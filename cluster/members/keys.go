package members

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/memberlist"
)

const (
	keySize    = 32 // AES-256
	maxKeyFile = 64 << 10
	maxKeys    = 16 // each packet of a stranger is tried with every key
)

// NewKey returns a new gossip key as a line for a key file.
func NewKey() string {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails: crypto/rand
	return base64.StdEncoding.EncodeToString(key)
}

// WriteKeyFile creates a key file with one new key, readable by its owner only. It overwrites nothing: the error then
// wraps os.ErrExist.
func WriteKeyFile(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(NewKey() + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(path))
	}
	return nil
}

// ParseKeys reads a key file: one base64 key of 16, 24 or 32 bytes a line, the first one encrypts, all decrypt. Empty
// lines and lines that begin with # are skipped.
func ParseKeys(data []byte) ([][]byte, error) {
	var keys [][]byte
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, err := base64.StdEncoding.DecodeString(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: not base64", number) // the error would show the key
		}
		if err := memberlist.ValidateKey(key); err != nil {
			return nil, fmt.Errorf("line %d: %d bytes, want 16, 24 or 32", number, len(key))
		}
		if contains(keys, key) {
			return nil, fmt.Errorf("line %d: the key is there twice", number)
		}
		if len(keys) == maxKeys {
			return nil, fmt.Errorf("line %d: more than %d keys", number, maxKeys)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("no key in it")
	}
	return keys, nil
}

// LoadKeys is ParseKeys of a file.
func LoadKeys(path string) ([][]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("gossip keys: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, fmt.Errorf("gossip keys %s: %w", path, err)
	}
	keys, err := ParseKeys(data)
	if err != nil {
		return nil, fmt.Errorf("gossip keys %s: %w", path, err)
	}
	return keys, nil
}

// keys follows a key file. One goroutine calls refresh.
type keys struct {
	path  string
	log   hclog.Logger
	ring  *memberlist.Keyring
	now   [][]byte
	wrong string // the last error
}

func openKeys(path string, log hclog.Logger) (*keys, error) {
	now, err := LoadKeys(path)
	if err != nil {
		return nil, err
	}
	ring, err := memberlist.NewKeyring(now, now[0])
	if err != nil {
		return nil, fmt.Errorf("gossip keys %s: %w", path, err)
	}
	return &keys{path: path, log: log, ring: ring, now: now}, nil
}

// refresh reads the file again. Keys that do not work are reported once, and the old ones stay.
func (k *keys) refresh() {
	next, err := LoadKeys(k.path)
	if err == nil && same(next, k.now) {
		k.wrong = ""
		return
	}
	if err == nil {
		err = k.install(next)
	}
	if err != nil {
		if err.Error() != k.wrong {
			k.wrong = err.Error()
			k.log.Error("new gossip keys do not work, keeping the old ones", "error", err)
		}
		return
	}
	k.now, k.wrong = next, ""
	k.log.Info("gossip keys read again", "keys", len(next))
}

func (k *keys) install(next [][]byte) error {
	for _, key := range next {
		if err := k.ring.AddKey(key); err != nil {
			return err
		}
	}
	if err := k.ring.UseKey(next[0]); err != nil {
		return err
	}
	for _, key := range k.ring.GetKeys() {
		if !contains(next, key) {
			if err := k.ring.RemoveKey(key); err != nil {
				return err
			}
		}
	}
	return nil
}

func contains(keys [][]byte, key []byte) bool {
	for _, k := range keys {
		if bytes.Equal(k, key) {
			return true
		}
	}
	return false
}

func same(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}
