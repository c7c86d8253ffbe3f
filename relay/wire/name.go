package wire

import "fmt"

// Name is an account name, 13 characters of base32 in a uint64.
type Name uint64

const nameAlphabet = ".12345abcdefghijklmnopqrstuvwxyz"

// ParseName reads an account name: up to 12 characters of a-z, 1-5 and dots,
// and a 13th of a-j, 1-5 and the dot; it must not end in a dot. The empty name is 0.
func ParseName(s string) (Name, error) {
	if len(s) > 13 {
		return 0, fmt.Errorf("parse name %q: longer than 13 characters", s)
	}
	var n uint64
	for i := range 13 {
		var v uint64
		if i < len(s) {
			c, ok := nameSymbol(s[i])
			if !ok || i == 12 && c > 0x0f {
				return 0, fmt.Errorf("parse name %q: character %d is not allowed", s, i+1)
			}
			v = c
		}
		if i < 12 {
			n = n<<5 | v
		} else {
			n = n<<4 | v
		}
	}
	if s != "" && s[len(s)-1] == '.' {
		return 0, fmt.Errorf("parse name %q: ends in a dot", s)
	}
	return Name(n), nil
}

func nameSymbol(c byte) (uint64, bool) {
	switch {
	case c >= 'a' && c <= 'z':
		return uint64(c-'a') + 6, true
	case c >= '1' && c <= '5':
		return uint64(c-'1') + 1, true
	case c == '.':
		return 0, true
	}
	return 0, false
}

// String is the name as people write it, without trailing dots.
func (n Name) String() string {
	var b [13]byte
	v := uint64(n)
	b[12] = nameAlphabet[v&0x0f]
	v >>= 4
	for i := 11; i >= 0; i-- {
		b[i] = nameAlphabet[v&0x1f]
		v >>= 5
	}
	end := len(b)
	for end > 0 && b[end-1] == '.' {
		end--
	}
	return string(b[:end])
}
