package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// setText sets a key that holds one value from its text; the error says what to write instead.
func (k configKey) setText(text string) error {
	switch field := k.value.Addr().Interface().(type) {
	case *string:
		*field = text
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a number; write a whole number, such as 3", text)
		}
		*field = n
	case *time.Duration:
		d, err := parseDuration(text)
		if err != nil {
			return err
		}
		*field = d
	case *Heartbeat:
		if text == "auto" {
			*field = 0
			return nil
		}
		d, err := parseDuration(text)
		if err != nil {
			return fmt.Errorf("%w, or auto", err)
		}
		if d == 0 {
			return errors.New("a heartbeat of 0 is none; write auto, or a duration such as 250ms")
		}
		*field = Heartbeat(d)
	default:
		return fmt.Errorf("holds a list; write it as [%s]", text)
	}
	return nil
}

// itemError is a mistake in one item of a list.
type itemError struct {
	index int
	err   error
}

func (e itemError) Error() string { return fmt.Sprintf("[%d]: %v", e.index, e.err) }

// setList sets a key that holds several values. The errors are of type itemError.
func (k configKey) setList(items []string) []error {
	var errs []error
	switch field := k.value.Addr().Interface().(type) {
	case *[]string:
		*field = items
		for i, item := range items {
			if item == "" {
				errs = append(errs, itemError{i, errors.New("is empty; remove it or fill it in")})
			}
		}
	case *[]netip.Prefix:
		*field = nil
		for i, item := range items {
			prefix, err := parsePrefix(item)
			if err != nil {
				errs = append(errs, itemError{i, err})
				continue
			}
			*field = append(*field, prefix)
		}
	default:
		errs = append(errs, fmt.Errorf("key %s: type %s holds no list", k.path, k.value.Type()))
	}
	return errs
}

// splitList reads a list as an environment variable holds it: comma-separated, blank for none.
func splitList(text string) []string {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	items := strings.Split(text, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items
}

func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration; write a number with its unit, such as 150ms or 10s", text)
	}
	if d < 0 {
		return 0, fmt.Errorf("%q is negative; write a duration of 0s or more", text)
	}
	return d, nil
}

func parsePrefix(text string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
			return netip.Prefix{}, fmt.Errorf("%q is an address, not a network; write %s/%d for this one host", text, addr, addr.BitLen())
		}
		return netip.Prefix{}, fmt.Errorf("%q is not a network; write it as address/bits, such as 10.0.0.0/8", text)
	}
	if masked := prefix.Masked(); masked != prefix {
		return netip.Prefix{}, fmt.Errorf("%q has address bits behind its mask; write %s for the network or %s/%d for the one host",
			text, masked, prefix.Addr(), prefix.Addr().BitLen())
	}
	return prefix, nil
}

// parseChainID reads the 64 hexadecimal digits of a chain id.
func parseChainID(text string) ([32]byte, error) {
	var id [32]byte
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(id) {
		return id, fmt.Errorf("%q is not a chain id; write the 64 hexadecimal digits of chain_id in /v1/chain/get_info, or leave it empty to learn it from the first upstream", text)
	}
	copy(id[:], raw)
	if id == [32]byte{} {
		return id, errors.New("is all zeros, which is no chain; leave it empty to learn it from the first upstream")
	}
	return id, nil
}
