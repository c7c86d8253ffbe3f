package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// snapshotMagic begins every snapshot, so that a file of something else is told from a damaged one.
const snapshotMagic = "thinmark"

// SnapshotSize is the length in bytes of a snapshot: magic, state, CRC.
const SnapshotSize = len(snapshotMagic) + StateSize + crc32.Size

// ErrChecksum is returned for a snapshot whose bytes were damaged.
var ErrChecksum = errors.New("the snapshot is damaged: its checksum does not match")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendSnapshot appends s as a snapshot: magic, the encoded state, and a CRC-32C over both, big-endian.
func AppendSnapshot(dst []byte, s State) []byte {
	start := len(dst)
	dst = append(dst, snapshotMagic...)
	dst = s.Append(dst)
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// DecodeSnapshot reads what [AppendSnapshot] wrote. A snapshot of a newer version is refused with [ErrVersion] before its
// checksum is looked for, since where that is only its own release knows.
func DecodeSnapshot(b []byte) (State, error) {
	if len(b) <= len(snapshotMagic) || string(b[:len(snapshotMagic)]) != snapshotMagic {
		return State{}, fmt.Errorf("decode snapshot: no magic: %w", ErrMalformed)
	}
	if v := b[len(snapshotMagic)]; v > Version {
		return State{}, fmt.Errorf("decode snapshot: version %d, known up to %d: %w", v, Version, ErrVersion)
	}
	if len(b) != SnapshotSize {
		return State{}, fmt.Errorf("decode snapshot: %d bytes, want %d: %w", len(b), SnapshotSize, ErrMalformed)
	}
	body, sum := b[:SnapshotSize-crc32.Size], binary.BigEndian.Uint32(b[SnapshotSize-crc32.Size:])
	if crc32.Checksum(body, castagnoli) != sum {
		return State{}, fmt.Errorf("decode snapshot: %w", ErrChecksum)
	}
	return DecodeState(body[len(snapshotMagic):])
}

// ReadSnapshot reads one snapshot up to the end of r. It reads no more than a little beyond [SnapshotSize].
func ReadSnapshot(r io.Reader) (State, error) {
	b, err := io.ReadAll(io.LimitReader(r, int64(SnapshotSize)+1))
	if err != nil {
		return State{}, fmt.Errorf("read snapshot: %w", err)
	}
	return DecodeSnapshot(b)
}
