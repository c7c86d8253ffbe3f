package storage_test

import (
	"testing"

	"github.com/thinrelay/thinrelay/cluster/storage"
)

// counted is a backend that counts what is written.
type counted struct {
	storage.Backend
	writes int
}

func (c *counted) Set(key, value []byte) error {
	c.writes++
	return c.Backend.Set(key, value)
}

func (c *counted) SetUint64(key []byte, value uint64) error {
	c.writes++
	return c.Backend.SetUint64(key, value)
}

// A vote for whom one has voted for last is one write to the disk, any other one two.
func TestWritesOfAVote(t *testing.T) {
	m := storage.NewMemory()
	c := &counted{Backend: m.Backend}
	m.Backend = c
	s, err := storage.New(m, "eu-1", storage.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i, tt := range []struct {
		term      uint64
		candidate string
		writes    int
	}{{5, "a", 2}, {6, "a", 1}, {7, "b", 2}, {8, "a", 2}} {
		before := c.writes
		if err := s.Stable().SetUint64([]byte("LastVoteTerm"), tt.term); err != nil {
			t.Fatal(err)
		}
		if err := s.Stable().Set([]byte("LastVoteCand"), []byte(tt.candidate)); err != nil {
			t.Fatal(err)
		}
		if got := c.writes - before; got != tt.writes {
			t.Errorf("vote %d: %d writes, want %d", i, got, tt.writes)
		}
		term, err := s.Stable().GetUint64([]byte("LastVoteTerm"))
		candidate, cerr := s.Stable().Get([]byte("LastVoteCand"))
		if term != tt.term || string(candidate) != tt.candidate || err != nil || cerr != nil {
			t.Errorf("vote %d: got %d %s, %v %v, want %d %s", i, term, candidate, err, cerr, tt.term, tt.candidate)
		}
	}
}
