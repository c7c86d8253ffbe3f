package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxConfigSize bounds the file that is read: a real one has 2 KB.
const maxConfigSize = 256 << 10

// LoadConfig reads the file at path, applies the RELAY_ variables of environ ("NAME=value", as os.Environ gives them),
// resolves relative paths against the file's folder and validates. Mistakes are all reported at once, as a *ConfigError.
func LoadConfig(path string, environ []string) (Config, error) {
	text, err := readConfigFile(path)
	if err != nil {
		return Config{}, err
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return Config{}, fmt.Errorf("resolve the folder of %s: %w", path, err)
	}
	return parseConfig(filepath.Base(path), dir, text, environ)
}

func readConfigFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfigSize+1))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if len(text) > maxConfigSize {
		return nil, fmt.Errorf("read the configuration: %s is larger than %d KB; is it the right file?", path, maxConfigSize>>10)
	}
	return text, nil
}

// parseConfig is LoadConfig without the file system: name is how mistakes call the file, dir is where relative paths start.
func parseConfig(name, dir string, text []byte, environ []string) (Config, error) {
	c := DefaultConfig()
	l := loader{name: name, table: newKeyTable(&c), where: map[string]place{}}
	if l.file(text) {
		l.environment(environ)
		l.resolve(dir)
		l.judge(&c)
	}
	if len(l.mistakes) > 0 {
		slices.SortStableFunc(l.mistakes, func(a, b mistake) int { return a.where.before(b.where) })
		return Config{}, &ConfigError{l.mistakes}
	}
	return c, nil
}

// baseKey is the key without the [index] of a list item.
func baseKey(key string) string {
	base, _, _ := strings.Cut(key, "[")
	return base
}

// loader fills a Config from the file and the environment and notes where each key was set.
type loader struct {
	name     string
	table    keyTable
	where    map[string]place // where each key and each item of a list was set
	mistakes []mistake
}

// resolve makes relative paths start at dir.
func (l *loader) resolve(dir string) {
	for _, k := range l.table.leaves {
		if path := k.value.String(); k.file != "" && path != "" && !filepath.IsAbs(path) {
			k.value.SetString(filepath.Join(dir, path))
		}
	}
}

// judge validates c. Of a key that could not be read nothing more is said: to judge the default in its place would confuse.
func (l *loader) judge(c *Config) {
	unread := map[string]bool{}
	for _, m := range l.mistakes {
		unread[m.key] = true
		unread[baseKey(m.key)] = true
	}
	for _, m := range validate(c) {
		if unread[m.key] {
			continue
		}
		where, ok := l.where[m.key]
		if !ok {
			where = l.where[baseKey(m.key)]
		}
		l.wrong(where, m.key, "%s", m.text)
	}
}

func (l *loader) wrong(where place, key, format string, args ...any) {
	l.mistakes = append(l.mistakes, mistake{where, key, fmt.Sprintf(format, args...)})
}

// file reads the keys of the file; false: it is no single mapping of keys, so that there is nothing to judge.
func (l *loader) file(text []byte) bool {
	tree, err := parser.ParseBytes(text, 0)
	if err != nil {
		where, message := place{source: l.name}, err.Error()
		if at := yaml.Error(nil); errors.As(err, &at) {
			message = at.GetMessage()
			where = l.position(at.GetToken())
		}
		l.wrong(where, "", "is not valid YAML: %s", message)
		return false
	}
	var body ast.Node
	for _, doc := range tree.Docs {
		if doc.Body == nil {
			continue
		}
		if body != nil {
			l.wrong(l.at(doc.Body), "", "holds a second document; a configuration is one, remove the line ---")
			return false
		}
		body = doc.Body
	}
	if body == nil {
		return true
	}
	return l.section("", body)
}

// at is the place of a node.
func (l *loader) at(n ast.Node) place { return l.position(n.GetToken()) }

func (l *loader) position(t *token.Token) place {
	if t == nil || t.Position == nil {
		return place{source: l.name}
	}
	return place{l.name, t.Position.Line, t.Position.Column}
}

// section reads the keys of a mapping, false when node is none; path is "" for the whole file.
func (l *loader) section(path string, node ast.Node) bool {
	var pairs []*ast.MappingValueNode
	switch n := node.(type) {
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	case *ast.NullNode:
		return true
	default:
		if path == "" {
			l.wrong(l.at(node), "", "holds no keys; start from deploy/relay.example.yaml")
		} else {
			l.wrong(l.at(node), path, "holds keys; write each on a line of its own under it, indented")
		}
		return false
	}
	for _, pair := range pairs {
		if pair.Key == nil || pair.Value == nil {
			continue
		}
		name, ok := pair.Key.(*ast.StringNode)
		if !ok {
			l.wrong(l.at(pair.Key), path, "has a key that is not a plain word: %s", strings.TrimSpace(pair.Key.String()))
			continue
		}
		full := name.Value
		if path != "" {
			full = path + "." + name.Value
		}
		if k, ok := l.table.leaves[full]; ok {
			l.leaf(k, pair)
		} else if l.table.sections[full] {
			l.section(full, pair.Value)
		} else {
			l.unknown(l.at(pair.Key), full)
		}
	}
	return true
}

func (l *loader) unknown(where place, path string) {
	hint := "; deploy/relay.example.yaml lists the keys"
	if near := l.table.nearest(path); near != "" {
		hint = "; did you mean " + near + "?"
	}
	l.wrong(where, path, "no such key%s", hint)
}

func (l *loader) leaf(k configKey, pair *ast.MappingValueNode) {
	where := l.at(pair.Key)
	l.where[k.path] = where
	if !k.isList() {
		if _, null := pair.Value.(*ast.NullNode); null {
			return // "key:" with nothing behind it leaves the default
		}
		text, err := scalar(pair.Value)
		if err == nil {
			err = k.setText(text)
		}
		if err != nil {
			l.wrong(l.at(pair.Value), k.path, "%v", err)
		}
		return
	}
	switch list := pair.Value.(type) {
	case *ast.NullNode:
		l.list(where, k, nil)
	case *ast.SequenceNode:
		items := make([]string, len(list.Values))
		for i, value := range list.Values {
			text, err := scalar(value)
			if err != nil {
				l.wrong(l.at(value), itemKey(k.path, i), "%v", err)
				return
			}
			items[i] = text
			l.where[itemKey(k.path, i)] = l.at(value)
		}
		l.list(where, k, items)
	default:
		l.wrong(l.at(pair.Value), k.path, "holds a list; write it as [one, two]")
	}
}

func (l *loader) list(where place, k configKey, items []string) {
	for _, err := range k.setList(items) {
		if wrong := (itemError{}); errors.As(err, &wrong) {
			at, ok := l.where[itemKey(k.path, wrong.index)]
			if !ok {
				at = where
			}
			l.wrong(at, itemKey(k.path, wrong.index), "%v", wrong.err)
			continue
		}
		l.wrong(where, k.path, "%v", err)
	}
}

// scalar is the text of a single value, quoted or not.
func scalar(node ast.Node) (string, error) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return strings.TrimSpace(n.Value.Value), nil
	case *ast.NullNode:
		return "", nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, nil
	case *ast.SequenceNode:
		return "", errors.New("holds one value, not a list")
	case *ast.MappingNode, *ast.MappingValueNode:
		return "", errors.New("holds a value, not keys")
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		return "", errors.New("uses an anchor, alias or tag; write the value itself")
	}
	return "", fmt.Errorf("holds one value; %s is not understood here", node.Type())
}

// environment applies the RELAY_ variables.
func (l *loader) environment(environ []string) {
	byEnv := make(map[string]configKey, len(l.table.leaves))
	for _, k := range l.table.leaves {
		byEnv[k.env] = k
	}
	environ = slices.Sorted(slices.Values(environ))
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, envPrefix) || relayctlEnv[name] {
			continue
		}
		where := place{source: name}
		k, ok := byEnv[name]
		if !ok {
			l.wrong(where, "", "this variable overrides no key; unset it (variables are called %s and the key's path, such as %s)",
				envPrefix, envName("failover.late_after"))
			continue
		}
		l.where[k.path] = where
		if k.isList() {
			maps.DeleteFunc(l.where, func(set string, _ place) bool { return set != k.path && baseKey(set) == k.path })
			l.list(where, k, splitList(value))
		} else if err := k.setText(value); err != nil {
			l.wrong(where, k.path, "%v", err)
		}
	}
}
