package main

import (
	"reflect"
	"strings"
)

// configKey is one leaf of the configuration.
type configKey struct {
	path  string        // as in the file, joined with dots: failover.late_after
	env   string        // RELAY_FAILOVER_LATE_AFTER
	file  string        // "", "public", "secret" or "dir": the file tag
	value reflect.Value // settable field of the Config the key was made from
}

// envPrefix starts the name of every variable that overrides a key.
const envPrefix = "RELAY_"

// relayctlEnv are the variables with the same prefix that belong to relayctl.
var relayctlEnv = map[string]bool{"RELAY_ADDR": true, "RELAY_TOKEN_FILE": true}

// envName is the variable that overrides the key at path.
func envName(path string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// configKeys lists the leaves of c in the order of its fields. Their values point into c.
func configKeys(c *Config) []configKey {
	return collect(nil, "", reflect.ValueOf(c).Elem())
}

func collect(to []configKey, prefix string, section reflect.Value) []configKey {
	for i := range section.NumField() {
		field := section.Type().Field(i)
		path := prefix + field.Tag.Get("yaml")
		if field.Type.Kind() == reflect.Struct {
			to = collect(to, path+".", section.Field(i))
			continue
		}
		to = append(to, configKey{path: path, env: envName(path), file: field.Tag.Get("file"), value: section.Field(i)})
	}
	return to
}

// isList reports a key that holds several values.
func (k configKey) isList() bool { return k.value.Kind() == reflect.Slice }

// keyTable is the keys by path, and the sections that hold them.
type keyTable struct {
	leaves   map[string]configKey
	sections map[string]bool
	order    []string // paths of leaves, in the order of the fields
}

func newKeyTable(c *Config) keyTable {
	t := keyTable{leaves: map[string]configKey{}, sections: map[string]bool{}}
	for _, k := range configKeys(c) {
		t.leaves[k.path] = k
		t.order = append(t.order, k.path)
		for i, r := range k.path {
			if r == '.' {
				t.sections[k.path[:i]] = true
			}
		}
	}
	return t
}

// nearest is the known key or section that path was probably meant to be, "" when none is close.
func (t keyTable) nearest(path string) string {
	last := path[strings.LastIndexByte(path, '.')+1:]
	// The right name in the wrong section is the commonest slip.
	for _, known := range t.order {
		if known != path && known[strings.LastIndexByte(known, '.')+1:] == last {
			return known
		}
	}
	best, bestDistance := "", 3
	try := func(known string) {
		if d := distance(path, known, bestDistance); d < bestDistance {
			best, bestDistance = known, d
		}
	}
	for _, known := range t.order {
		try(known)
		for i, r := range known {
			if r == '.' {
				try(known[:i])
			}
		}
	}
	return best
}

// distance is the Levenshtein distance of a and b, or limit when it is not below that.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return min(row[len(b)], limit)
}
