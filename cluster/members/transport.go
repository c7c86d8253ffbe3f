package members

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// transport is memberlist's own, with streams that end when we do: memberlist knows no contexts. And with bounds for those of strangers.
type transport struct {
	*memberlist.NetTransport
	incoming *admission
	ctx      context.Context
	cancel   context.CancelFunc
}

var _ memberlist.NodeAwareTransport = (*transport)(nil)

// bindTries is how often a free port is looked for that is free for both TCP and UDP.
const bindTries = 10

// listen binds TCP and UDP, and notes the port in conf, as memberlist itself does.
func listen(conf *memberlist.Config) (*transport, error) {
	var inner *memberlist.NetTransport
	var err error
	for range bindTries {
		inner, err = memberlist.NewNetTransport(&memberlist.NetTransportConfig{
			BindAddrs: []string{conf.BindAddr}, BindPort: conf.BindPort, Logger: conf.Logger,
		})
		if err == nil || conf.BindPort != 0 {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	conf.BindPort = inner.GetAutoBindPort()
	if conf.AdvertiseAddr == "" || conf.AdvertisePort == 0 {
		conf.AdvertisePort = conf.BindPort
	}
	t := &transport{NetTransport: inner, incoming: admit(inner, conf.Logger.Printf)}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t, nil
}

// StreamCh implements memberlist.Transport.
func (t *transport) StreamCh() <-chan net.Conn { return t.incoming.streams }

// Shutdown implements memberlist.Transport.
func (t *transport) Shutdown() error {
	err := t.NetTransport.Shutdown()
	t.incoming.close()
	return err
}

// DialTimeout implements memberlist.Transport.
func (t *transport) DialTimeout(address string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: address}, timeout)
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: timeout}
	conn, err := d.DialContext(t.ctx, "tcp", a.Addr)
	if err != nil {
		return nil, err
	}
	s := &stream{Conn: conn}
	s.release = context.AfterFunc(t.ctx, func() { _ = conn.Close() })
	return s, nil
}

type stream struct {
	net.Conn
	once    sync.Once
	release func() bool
}

// Close closes the stream and forgets it.
func (s *stream) Close() error {
	s.once.Do(func() { s.release() })
	return s.Conn.Close()
}
