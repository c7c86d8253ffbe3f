package control

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// maxLabels bounds the values of one label. Some come from peers, such as the
// names of replicas; further ones are counted as "other".
const maxLabels = 64

// otherLabel stands for the values beyond maxLabels.
const otherLabel = "other"

// children maps label values to children resolved earlier. Reading takes no
// lock and allocates nothing.
type children[T any] struct {
	resolved *atomic.Pointer[map[string]T]
	grow     *sync.Mutex
	create   func(value string) T
}

func newChildren[T any](create func(string) T, values []string) children[T] {
	first := make(map[string]T, len(values))
	for _, v := range values {
		first[v] = create(v)
	}
	c := children[T]{resolved: &atomic.Pointer[map[string]T]{}, grow: &sync.Mutex{}, create: create}
	c.resolved.Store(&first)
	return c
}

func (c children[T]) get(value string) T {
	if child, ok := (*c.resolved.Load())[value]; ok {
		return child
	}
	c.grow.Lock()
	defer c.grow.Unlock()
	now := *c.resolved.Load()
	if len(now) >= maxLabels {
		value = otherLabel
	}
	if child, ok := now[value]; ok {
		return child
	}
	next := maps.Clone(now)
	// The value may be a view into a frame; the map outlives it.
	value = strings.Clone(strings.ToValidUTF8(value, "?"))
	next[value] = c.create(value)
	c.resolved.Store(&next)
	return next[value]
}

// forget drops a value: the next get creates its child anew.
func (c children[T]) forget(value string) {
	c.grow.Lock()
	defer c.grow.Unlock()
	next := maps.Clone(*c.resolved.Load())
	delete(next, value)
	c.resolved.Store(&next)
}

type counters struct{ children[prometheus.Counter] }

type gauges struct {
	children[prometheus.Gauge]
	vec *prometheus.GaugeVec
}

func (g gauges) set(value string, v float64) { g.get(value).Set(v) }
func (g gauges) drop(value string) {
	g.forget(value)
	g.vec.DeleteLabelValues(value)
}

func (g gauges) set2(a, b string, v float64)   { g.vec.WithLabelValues(a, b).Set(v) }
func (c counters) add(value string, n float64) { c.get(value).Add(n) }
func opts(name, help string) prometheus.Opts {
	return prometheus.Opts{Namespace: namespace, Name: name, Help: help}
}

func (m *Metrics) document(kind, name, help, labels string, values []string) {
	m.docs = append(m.docs, metricDoc{namespace + "_" + name, kind, labels, values, help})
}

func (m *Metrics) gauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts(opts(name, help)))
	m.registry.MustRegister(g)
	m.document("gauge", name, help, "", nil)
	return g
}

func (m *Metrics) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts(opts(name, help)))
	m.registry.MustRegister(c)
	m.document("counter", name, help, "", nil)
	return c
}

func (m *Metrics) histogram(name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets})
	m.registry.MustRegister(h)
	m.document("histogram", name, help, "", nil)
	return h
}

// counterVec makes a counter with one label; values known beforehand start at 0,
// so that alerts on their increase see the first one.
func (m *Metrics) counterVec(name, help, label string, values ...string) counters {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts(opts(name, help)), []string{label})
	m.registry.MustRegister(vec)
	m.document("counter", name, help, label, values)
	return counters{newChildren(func(v string) prometheus.Counter { return vec.WithLabelValues(v) }, values)}
}

// gaugeVec makes a gauge with one label, or several joined by commas.
func (m *Metrics) gaugeVec(name, help, labels string, values ...string) gauges {
	vec := prometheus.NewGaugeVec(prometheus.GaugeOpts(opts(name, help)), strings.Split(labels, ","))
	m.registry.MustRegister(vec)
	m.document("gauge", name, help, labels, values)
	return gauges{newChildren(func(v string) prometheus.Gauge { return vec.WithLabelValues(v) }, values), vec}
}
