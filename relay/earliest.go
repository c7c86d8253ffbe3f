package relay

// earliest is the first block that an upstream can be asked for: a nodeos answers a sync_request
// for one that it does not have with go_away, and does so again after each reconnect
// (net_plugin.cpp:1773-1779). It tells the first one that it has in the notice before its handshake: where a
// snapshot or its pruned block log begins, or, with block-log-retain-blocks=0, the last
// irreversible one (controller.cpp:4963-4965), which may have moved by one when we ask.
func (u *upPeer) earliest() uint32 {
	start := u.up.Start()
	if start >= u.floor && start < u.up.Head().Num() {
		start++
	}
	return start
}
