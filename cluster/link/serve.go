package link

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Handler owns a served stream while it runs. It must return soon after its context ends; the stream is closed then.
type Handler func(ctx context.Context, name string, purpose Purpose, conn net.Conn) error

// Serve accepts streams until ctx ends or the listener fails, then ends all of them and waits for their handlers. It
// returns nil when ctx has ended.
func (l *Link) Serve(ctx context.Context, handle Handler) error {
	streamCtx, cancel := context.WithCancel(ctx)
	s := &server{link: l, handle: handle, streams: make(map[kind]int), feeds: make(map[string]*stream)}
	defer s.wg.Wait()
	defer cancel()
	for {
		conn, name, err := l.cfg.Listener.Accept(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept links: %w", err)
		}
		s.wg.Go(func() { s.serve(streamCtx, conn, name) })
	}
}

type server struct {
	link   *Link
	handle Handler
	wg     sync.WaitGroup

	mu      sync.Mutex
	streams map[kind]int // open ones of each member and purpose
	feeds   map[string]*stream
}

type kind struct {
	member  string
	purpose Purpose
}

type stream struct {
	cancel context.CancelCauseFunc
	over   chan struct{}
}

func (s *server) serve(ctx context.Context, conn net.Conn, name string) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	release := closeWith(ctx, conn)
	defer func() {
		release()
		_ = conn.Close()
	}()
	purpose, leave, err := s.greet(conn, name)
	defer leave()
	if err != nil {
		if ctx.Err() == nil {
			if ok, skipped := s.link.quiet.Allow(name + err.Error()); ok {
				s.link.log.Warn("refused a stream", "member", name, "error", err, "skipped", skipped)
			}
		}
		return
	}
	if purpose == Feed {
		defer s.takeFeed(name, cancel)()
	}
	if ctx.Err() != nil {
		return
	}
	err = s.handle(ctx, name, purpose, conn)
	s.link.log.Debug("stream ended", "member", name, "purpose", purpose, "error", err)
}

// enter counts a stream, and says whether there was room for it.
func (s *server) enter(k kind) (room bool, leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams[k]++
	return s.streams[k] <= s.link.cfg.MaxStreams || k.purpose == Feed, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.streams[k]--; s.streams[k] == 0 {
			delete(s.streams, k)
		}
	}
}

// greet reads the hello and answers it. What it returns as leave is to be called when the stream is over, in any case.
func (s *server) greet(conn net.Conn, name string) (_ Purpose, leave func(), _ error) {
	leave = func() {}
	if err := conn.SetDeadline(time.Now().Add(s.link.cfg.HelloTimeout)); err != nil {
		return 0, leave, err
	}
	var hello [helloSize]byte
	if _, err := io.ReadFull(conn, hello[:]); err != nil {
		return 0, leave, fmt.Errorf("read hello: %w", err)
	}
	purpose, code, err := parseHello(hello[:])
	if err != nil {
		return 0, leave, err
	}
	if code == codeWelcome {
		var room bool
		if room, leave = s.enter(kind{name, purpose}); !room {
			code = CodeBusy
		}
	}
	if _, err := conn.Write(appendAnswer(nil, code)); err != nil {
		return 0, leave, fmt.Errorf("answer hello: %w", err)
	}
	if code != codeWelcome {
		linger(conn)
		return 0, leave, &RefusedError{Member: "this relay", Code: code}
	}
	return purpose, leave, conn.SetDeadline(time.Time{})
}

// linger reads what the refused side has sent already: closing over unread bytes would reset the connection, and the
// answer could be lost with it. The hello's deadline bounds it.
func linger(conn net.Conn) {
	_, _ = io.Copy(io.Discard, io.LimitReader(conn, 1<<20))
}

// takeFeed ends the member's older feed, waits for its handler, and returns what to do at the end of this one.
func (s *server) takeFeed(name string, cancel context.CancelCauseFunc) (end func()) {
	mine := &stream{cancel: cancel, over: make(chan struct{})}
	s.mu.Lock()
	older := s.feeds[name]
	s.feeds[name] = mine
	s.mu.Unlock()
	if older != nil {
		older.cancel(ErrReplaced)
		<-older.over
	}
	return func() {
		s.mu.Lock()
		if s.feeds[name] == mine {
			delete(s.feeds, name)
		}
		s.mu.Unlock()
		close(mine.over)
	}
}
