package simnet

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"github.com/eoscanada/eos-go/ecc"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// ErrRules is returned for rules that describe no chain.
var ErrRules = errors.New("invalid chain rules")

// Rules are what all nodes of a network agree on. The zero value of every field
// but Producers is usable.
type Rules struct {
	// Seed makes the keys and the chain id.
	Seed string
	// Producers is the schedule, in order: 12 slots each.
	Producers []wire.Name
	// Finalizers are the descriptions of the finalizer policy, one vote each.
	// Default: Producers, and "boot" to give small networks a margin.
	Finalizers []wire.Name
	// Threshold is the number of votes of a quorum certificate.
	// Default: more than two thirds.
	Threshold int
	// Clock is the slot clock. Default: the real chain's.
	Clock Clock
	// Legacy makes a chain from before Savanna: no votes, no claims.
	Legacy bool
	// LegacyLag is how many blocks LIB trails the head on a legacy chain.
	// Default 30: two thirds of three producers' rounds.
	LegacyLag uint32
	// NoSignatures replaces producer signatures by bytes of the same shape that
	// cost a hash. For long simulations only: such blocks do not recover to a key.
	NoSignatures bool
}

// Chain is what derives from Rules, and the process's memory of valid blocks.
type Chain struct {
	Rules
	// ID is the chain id.
	ID wire.ID
	// Genesis is block 1.
	Genesis *Block

	keys       map[wire.Name]*ecc.PrivateKey
	public     map[wire.Name]ecc.PublicKey
	finalizers []finalizer
	byKey      map[[blsKeyLen]byte]int

	mu       sync.Mutex
	seen     map[wire.ID]*Block // valid blocks, two generations
	seenLast map[wire.ID]*Block
}

// NewChain derives a chain.
func NewChain(rules Rules) (*Chain, error) {
	if len(rules.Producers) == 0 {
		return nil, fmt.Errorf("%w: no producers", ErrRules)
	}
	if rules.Clock.Length == 0 {
		rules.Clock = Clock{Anchor: epoch, Length: wire.SlotInterval}
	}
	if rules.Finalizers == nil {
		boot, err := wire.ParseName("boot")
		if err != nil {
			return nil, err
		}
		rules.Finalizers = append(append([]wire.Name(nil), rules.Producers...), boot)
	}
	if rules.Threshold == 0 {
		rules.Threshold = len(rules.Finalizers)*2/3 + 1
	}
	if rules.LegacyLag == 0 {
		rules.LegacyLag = 30
	}
	c := &Chain{
		Rules: rules, ID: sha256.Sum256([]byte(rules.Seed + "/chain")),
		keys: make(map[wire.Name]*ecc.PrivateKey), public: make(map[wire.Name]ecc.PublicKey),
		byKey: make(map[[blsKeyLen]byte]int), seen: make(map[wire.ID]*Block),
	}
	for _, name := range rules.Producers {
		key, err := producerKey(rules.Seed, name)
		if err != nil {
			return nil, err
		}
		c.keys[name], c.public[name] = key, key.PublicKey()
	}
	for i, name := range rules.Finalizers {
		f := newFinalizer(rules.Seed, name)
		c.finalizers = append(c.finalizers, f)
		c.byKey[f.key] = i
	}
	genesis, err := draft{slot: 1, legacy: rules.Legacy, claim: Claim{Num: 1, Strong: true}}.seal(fakeSigner(0))
	if err != nil {
		return nil, err
	}
	c.Genesis = genesis
	return c, nil
}

// ProducerAt is who the schedule gives a slot to.
func (c *Chain) ProducerAt(s wire.Slot) wire.Name {
	return c.Producers[int(s)/roundSlots%len(c.Producers)]
}

// ProducerKey is the public key of a producer's signatures.
func (c *Chain) ProducerKey(name wire.Name) (ecc.PublicKey, bool) {
	key, ok := c.public[name]
	return key, ok
}

func fakeSigner(name wire.Name) func(wire.ID) ([sigLen]byte, error) {
	return func(id wire.ID) ([sigLen]byte, error) { return fakeSignature(id, name), nil }
}

// signer signs for a producer. On Savanna the digest is the block id itself
// (block_state.cpp:73-80); the legacy digest needs chain state that does not
// exist here, so anything a relay cannot check will do.
func (c *Chain) signer(name wire.Name) func(wire.ID) ([sigLen]byte, error) {
	key, ok := c.keys[name]
	if c.NoSignatures || !ok {
		return fakeSigner(name)
	}
	return func(id wire.ID) (out [sigLen]byte, err error) {
		digest := c.digest(id)
		sig, err := key.Sign(digest[:])
		if err != nil {
			return out, err
		}
		copy(out[1:], sig.Content)
		return out, nil
	}
}

func (c *Chain) digest(id wire.ID) [32]byte {
	if !c.Legacy {
		return id
	}
	return sha256.Sum256(append([]byte("legacy"), id[:]...))
}

// parse reads a block that came over the wire and checks what does not need
// its parent: layout, schedule, signature. Blocks that this process has made or
// checked before are shared and cost a comparison.
func (c *Chain) parse(payload []byte) (*Block, error) {
	b, err := parseBlock(payload)
	if err != nil {
		return nil, err
	}
	if known := c.known(b.ID); known != nil && bytes.Equal(known.frame, b.frame) {
		return known, nil
	}
	if b.ID == c.Genesis.ID {
		return c.Genesis, nil
	}
	if b.Savanna == c.Legacy || c.ProducerAt(b.Slot) != b.Producer {
		return nil, fmt.Errorf("%w: %s is not scheduled", ErrBlock, b)
	}
	if b.torn {
		return nil, fmt.Errorf("%w: transactions of %s are not those of its header", ErrBlock, b)
	}
	if fake := fakeSignature(b.ID, b.Producer); b.sig != fake {
		digest := c.digest(b.ID)
		sig, err := ecc.NewSignatureFromData(b.sig[:])
		if err != nil || !sig.Verify(digest[:], c.public[b.Producer]) {
			return nil, fmt.Errorf("%w: signature of %s", ErrBlock, b)
		}
	}
	c.remember(b)
	return b, nil
}

const seenBlocks = 4096 // per generation

func (c *Chain) known(id wire.ID) *Block {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.seen[id]; b != nil {
		return b
	}
	return c.seenLast[id]
}

func (c *Chain) remember(b *Block) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.seen) >= seenBlocks {
		c.seen, c.seenLast = make(map[wire.ID]*Block), c.seen
	}
	c.seen[b.ID] = b
}

// seal signs a draft for its producer.
func (c *Chain) seal(d draft) (*Block, error) {
	d.legacy = c.Legacy
	b, err := d.seal(c.signer(d.producer))
	if err == nil {
		c.remember(b)
	}
	return b, err
}

// History is a chain of n idle blocks, genesis included, whose last block has
// the slot last. Their signatures are stand-ins (every node accepts those), so
// thousands take milliseconds.
func (c *Chain) History(n int, last wire.Slot) ([]*Block, error) {
	blocks := []*Block{c.Genesis}
	if n > 1 && last < c.Genesis.Slot+wire.Slot(n) {
		return nil, fmt.Errorf("%w: no room for %d blocks before slot %d", ErrRules, n, last)
	}
	for len(blocks) < n {
		parent := blocks[len(blocks)-1]
		slot := last - wire.Slot(n-len(blocks)-1)
		d := draft{parent: parent, slot: slot, producer: c.ProducerAt(slot), legacy: c.Legacy}
		if !c.Legacy {
			d.claim = Claim{Num: parent.Num(), Strong: true}
			if d.claim != parent.Claim {
				d.qc = c.certificate(parent.ID, d.claim, 1<<len(c.finalizers)-1, 0)
			}
		}
		b, err := d.seal(fakeSigner(d.producer))
		if err != nil {
			return nil, err
		}
		blocks = append(blocks, b)
	}
	return blocks, nil
}
