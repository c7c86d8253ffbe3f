package simnet

// mesh connects two nodes of one process with the same protocol and no sockets:
// a opens, b listens.
func mesh(a, b *Node) {
	a.box.put(event{call: func() {
		p := a.newPeer(b.cfg.Name, true)
		p.inside = true
		p.relink = func() { mesh(a, b) }
		if !b.box.put(event{call: func() { b.meshed(a, p) }}) {
			return
		}
	}})
}

// meshed is the listener's half: it makes both ends and lets the opener speak.
func (b *Node) meshed(a *Node, p *peer) {
	q := b.newPeer(a.cfg.Name, false)
	q.inside = true
	q.link = &wireless{self: q, other: p, to: a.box, own: b.box}
	b.peers = append(b.peers, q)
	a.box.put(event{call: func() {
		p.link = &wireless{self: p, other: q, to: b.box, own: a.box}
		a.peers = append(a.peers, p)
		a.sendTime(p, 0, 0)
		a.sendHandshake(p)
	}})
}
