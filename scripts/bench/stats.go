//go:build benchpeers

package main

import "slices"

// spread is a figure over the rounds.
type spread struct{ Min, Median, Max float64 }

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	v := slices.Sorted(slices.Values(values))
	return spread{Min: v[0], Median: median(v), Max: v[len(v)-1]}
}

// median is that of sorted values.
func median(v []float64) float64 {
	n := len(v)
	if n%2 == 1 {
		return v[n/2]
	}
	return (v[n/2-1] + v[n/2]) / 2
}

// percentile is the smallest of the sorted values that at least the part p of them do not exceed.
func percentile(v []int64, p float64) int64 {
	if len(v) == 0 {
		return 0
	}
	i := int(p * float64(len(v)))
	if float64(i) < p*float64(len(v)) {
		i++
	}
	return v[min(max(i, 1), len(v))-1]
}
