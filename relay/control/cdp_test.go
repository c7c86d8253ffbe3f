package control_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// browser is a headless Chromium driven over the pipe of its DevTools protocol;
// no port, no dependency.
type browser struct {
	t       *testing.T
	out     *os.File
	session string

	mu       sync.Mutex
	nextID   int
	waiting  map[int]chan json.RawMessage
	complain []string // exceptions and console errors of the page
}

// newBrowser starts Chromium, or skips the test where there is none.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("no chromium in PATH: the status page is not tested here; install it with apt-get install chromium")
	}
	if testing.Short() {
		t.Skip("-short: the status page is not tested in a browser")
	}

	inR, inW := pipe(t)
	outR, outW := pipe(t)
	// #nosec G204 -- a browser found in PATH, for a test
	cmd := exec.Command(path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--hide-scrollbars", "--remote-debugging-pipe", "--user-data-dir="+t.TempDir(), "about:blank")
	cmd.ExtraFiles = []*os.File{inR, outW} // descriptors 3 and 4
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	_ = inR.Close()
	_ = outW.Close()

	b := &browser{t: t, out: inW, waiting: map[int]chan json.RawMessage{}}
	var wg sync.WaitGroup
	wg.Go(func() { b.read(outR) })
	t.Cleanup(func() {
		b.send("Browser.close", nil)
		done := make(chan struct{})
		go func() { _ = cmd.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill()
			<-done
		}
		_ = inW.Close()
		_ = outR.Close()
		wg.Wait()
	})

	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return r, w
}

func (b *browser) read(in *os.File) {
	scan := bufio.NewScanner(in)
	scan.Buffer(nil, 64<<20)
	scan.Split(func(data []byte, eof bool) (int, []byte, error) {
		if i := bytes.IndexByte(data, 0); i >= 0 {
			return i + 1, data[:i], nil
		}
		return 0, nil, nil
	})
	for scan.Scan() {
		var msg struct {
			ID     int
			Method string
			Params json.RawMessage
		}
		if json.Unmarshal(scan.Bytes(), &msg) != nil {
			continue
		}
		b.mu.Lock()
		switch msg.Method {
		case "Runtime.exceptionThrown", "Log.entryAdded":
			b.complain = append(b.complain, string(msg.Params))
		}
		ch := b.waiting[msg.ID]
		delete(b.waiting, msg.ID)
		b.mu.Unlock()
		if ch != nil {
			ch <- bytes.Clone(scan.Bytes())
		}
	}
}

// send writes one command and returns where its answer will come.
func (b *browser) send(method string, params any) chan json.RawMessage {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nextID++
	msg := map[string]any{"id": b.nextID, "method": method}
	if params != nil {
		msg["params"] = params
	}
	if b.session != "" && method != "Browser.close" {
		msg["sessionId"] = b.session
	}
	raw, _ := json.Marshal(msg)
	ch := make(chan json.RawMessage, 1)
	b.waiting[b.nextID] = ch
	_, _ = b.out.Write(append(raw, 0))
	return ch
}

func (b *browser) call(method string, params, result any) {
	b.t.Helper()
	select {
	case raw := <-b.send(method, params):
		answer := struct {
			Result json.RawMessage
			Error  json.RawMessage
		}{}
		if err := json.Unmarshal(raw, &answer); err != nil || answer.Error != nil {
			b.t.Fatalf("%s: %s", method, raw)
		}
		if result != nil {
			if err := json.Unmarshal(answer.Result, result); err != nil {
				b.t.Fatalf("%s: %v in %s", method, err, raw)
			}
		}
	case <-time.After(30 * time.Second):
		b.t.Fatalf("%s: chromium does not answer", method)
	}
}

// eval returns the value of a JavaScript expression as text.
func (b *browser) eval(expression string) string {
	b.t.Helper()
	var answer struct {
		Result           struct{ Value any }
		ExceptionDetails json.RawMessage
	}
	b.call("Runtime.evaluate", map[string]any{"expression": "(async () => String(await (" + expression + ")))()", "returnByValue": true, "awaitPromise": true}, &answer)
	if answer.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, answer.ExceptionDetails)
	}
	text, _ := answer.Result.Value.(string)
	return text
}

// await returns when the page itself has found the condition true.
func (b *browser) await(condition string) {
	b.t.Helper()
	got := b.eval(`await_(() => ` + condition + `)`)
	if got != "true" {
		b.t.Fatalf("never true in the page: %s\npage:\n%s\ncomplaints: %v", condition, b.eval("document.body.innerText"), b.complaints())
	}
}

// helpers are put into each page before its own script.
const helpers = `function await_(f) { return new Promise(done => { const start = Date.now();
  (function again() { let ok = false; try { ok = f(); } catch {} if (ok || Date.now() - start > 15000) done(!!ok); else setTimeout(again, 25); })(); }); }`

func (b *browser) open(url string, width, height int, dark bool) {
	b.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	b.call("Page.addScriptToEvaluateOnNewDocument", map[string]any{"source": helpers}, nil)
	b.call("Page.navigate", map[string]any{"url": url}, nil)
}

// shot saves a screenshot of the whole page where THINRELAY_SCREENSHOTS names a folder.
func (b *browser) shot(name string) {
	b.t.Helper()
	dir := os.Getenv("THINRELAY_SCREENSHOTS")
	if dir == "" {
		return
	}
	var shot struct{ Data string }
	b.call("Page.captureScreenshot", map[string]any{"captureBeyondViewport": true}, &shot)
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

func (b *browser) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.complain
}
