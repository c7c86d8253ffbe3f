//go:build !race

package main

// groupSchedules is how many schedules TestGroupSchedules runs unless told: make
// schedules tells.
const groupSchedules = 60
