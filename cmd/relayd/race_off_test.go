//go:build !race

package main

// groupSchedules is how many schedules TestGroupSchedules runs unless told.
const groupSchedules = 200
