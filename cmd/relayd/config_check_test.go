package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/cluster/transport"
)

// checkTime is when the checks of these tests happen; every certificate is made around it.
var checkTime = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const testWIF = "5KQwrPbwdL6PhXujxW37FSSQZ1JiwsST4cqQzDeyXtP79zkvFD3" // the well-known key of test chains

// certSpec says what goes into a node's certificate.
type certSpec struct {
	names      []string
	from, till time.Time
	uses       []x509.ExtKeyUsage
	authority  time.Time // when the authority ends that issued it
}

func goodCert() certSpec {
	return certSpec{[]string{"eu-1"}, checkTime.AddDate(0, -1, 0), checkTime.AddDate(1, 0, 0), []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, checkTime.AddDate(9, 0, 0)}
}

// groupDir writes a configuration of a member with all its files into a fresh folder.
func groupDir(t *testing.T, id certSpec) (dir string) {
	t.Helper()
	dir = t.TempDir()
	writeFile(t, dir, "relay.yaml", `node: eu-1
producers: [bpa]
data_dir: data
upstream: {peers: ["seed1:9876", "seed2:9876"], peer_key_file: peer.key}
cluster:
  join: ["us-1:7946", "ap-1:7946"]
  bootstrap_expect: 3
  tls: {ca: ca.pem, cert: node.pem, key: node-key.pem}
  gossip_key_file: gossip.key
http: {token_file: token}
`)
	writeFile(t, dir, "peer.key", testWIF+"\n")
	writeFile(t, dir, "gossip.key", "# first is used to send\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n")
	writeFile(t, dir, "token", "0123456789abcdef\n")
	issueCert(t, dir, id)
	return dir
}

func writeFile(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// issueCert writes ca.pem, node.pem and node-key.pem.
func issueCert(t *testing.T, dir string, id certSpec) {
	t.Helper()
	newKey := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	sign := func(template, parent *x509.Certificate, public *ecdsa.PublicKey, by *ecdsa.PrivateKey) string {
		der, err := x509.CreateCertificate(rand.Reader, template, parent, public, by)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	caKey, nodeKey := newKey(), newKey()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: checkTime.AddDate(-1, 0, 0), NotAfter: id.authority, KeyUsage: x509.KeyUsageCertSign,
	}
	node := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: id.names, NotBefore: id.from, NotAfter: id.till,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: id.uses,
	}
	writeFile(t, dir, "ca.pem", sign(ca, ca, &caKey.PublicKey, caKey))
	writeFile(t, dir, "node.pem", sign(node, ca, &nodeKey.PublicKey, caKey))
	der, err := x509.MarshalPKCS8PrivateKey(nodeKey)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, dir, "node-key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
}

// notByEnded is found when the authority that issued the node's certificate has ended: relayd does not start then.
const notByEnded = "fail cluster.tls.cert: node.pem is not accepted by the group: x509: certificate has expired or is not yet valid: " +
	"current time 2026-11-22T12:00:00Z is after 2026-11-21T12:00:00Z; issue it again with relayctl certs issue eu-1"

func readFile(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// notOK is the findings that are not ok, one per line, without the folder's name.
func notOK(dir string, found []Finding) string {
	var lines []string
	for _, f := range found {
		if f.Level != OK {
			lines = append(lines, fmt.Sprintf("%s %s: %s", f.Level, f.What, strings.ReplaceAll(f.Text, dir+"/", "")))
		}
	}
	return strings.Join(lines, "\n")
}

func TestCheckFindsNothing(t *testing.T) {
	dir := groupDir(t, goodCert())
	found := Check(filepath.Join(dir, "relay.yaml"), nil, checkTime)
	if got := notOK(dir, found); got != "" {
		t.Errorf("findings:\n%s", got)
	}
	var all []string
	for _, f := range found {
		all = append(all, f.What+": "+f.Text)
	}
	for _, want := range []string{"EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV as peer-key", "holds until 2027-11-22", "made at the first start"} {
		if !strings.Contains(strings.Join(all, "\n"), want) {
			t.Errorf("no finding says %q in\n%s", want, strings.Join(all, "\n"))
		}
	}
}

func TestCheckFindings(t *testing.T) {
	remove := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	put := func(name, text string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { writeFile(t, dir, name, text) }
	}
	edit := func(from, to string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			text, err := os.ReadFile(filepath.Join(dir, "relay.yaml"))
			if err != nil || !strings.Contains(string(text), from) {
				t.Fatalf("%q is not in relay.yaml (%v)", from, err)
			}
			writeFile(t, dir, "relay.yaml", strings.Replace(string(text), from, to, 1))
		}
	}
	ended := checkTime.AddDate(0, 0, -1)
	// also appends the authority of another set of files to ca.pem.
	also := func(till time.Time) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			id := goodCert()
			id.authority = till
			other := t.TempDir()
			issueCert(t, other, id)
			writeFile(t, dir, "ca.pem", readFile(t, dir, "ca.pem")+readFile(t, other, "ca.pem"))
		}
	}
	for name, tt := range map[string]struct {
		id     func(*certSpec)
		change func(*testing.T, string)
		want   string // the findings that are not ok
	}{
		"mistake": {change: edit("node: eu-1", "nod: eu-1"), want: "fail config: relay.yaml:1:1: nod: no such key; did you mean node?\n" +
			"fail config: node: is not set; give this relay a name of its own in the group, such as eu-1"},
		"no file": {change: remove("gossip.key"), want: "fail cluster.gossip_key_file: open gossip.key: no such file or directory; make the file or mend the path"},
		"no cert": {change: remove("node.pem"), want: "fail cluster.tls.cert: open node.pem: no such file or directory; make the file or mend the path"},
		"readable secret": {change: func(t *testing.T, dir string) {
			if err := os.Chmod(filepath.Join(dir, "node-key.pem"), 0o640); err != nil {
				t.Fatal(err)
			}
		}, want: "warn cluster.tls.key: others can read node-key.pem (mode 0640); chmod 600 it"},
		"data_dir is a file":  {change: put("data", ""), want: "fail data_dir: data is a file; name a folder"},
		"data_dir in nowhere": {change: edit("data_dir: data", "data_dir: none/data"), want: "fail data_dir: neither none/data nor the folder it would be made in exists; make it and give it to the user that relayd runs as"},
		"peer key not WIF":    {change: put("peer.key", "PVT_"), want: "fail upstream.peer_key_file: read the peer key in peer.key: " + ErrKeyForm.Error()},
		"peer key mistyped":   {change: put("peer.key", strings.Replace(testWIF, "Q", "R", 1)), want: "fail upstream.peer_key_file: read the peer key in peer.key: checksum mismatch"},
		"token short":         {change: put("token", "short"), want: "warn http.token_file: token holds fewer than 16 characters; write a longer token, such as openssl rand -hex 32 makes"},
		// Without a token nobody is let in by one; a service that asks check before it starts must not stay down for that.
		"no token":             {change: remove("token"), want: "warn http.token_file: open token: no such file or directory; make the file or mend the path"},
		"gossip key empty":     {change: put("gossip.key", "# none\n"), want: "fail cluster.gossip_key_file: read the gossip key in gossip.key: no key in it; " + ErrGossipKey.Error() + "; relayctl certs makes it"},
		"gossip key odd":       {change: put("gossip.key", "\nYWJj\n"), want: "fail cluster.gossip_key_file: read the gossip key in gossip.key: line 2: 3 bytes, want 16, 24 or 32; " + ErrGossipKey.Error() + "; relayctl certs makes it"},
		"gossip key twice":     {change: put("gossip.key", strings.Repeat("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n", 2)), want: "fail cluster.gossip_key_file: read the gossip key in gossip.key: line 2: the key is there twice; " + ErrGossipKey.Error() + "; relayctl certs makes it"},
		"even group":           {change: edit("bootstrap_expect: 3", "bootstrap_expect: 2"), want: "warn cluster.bootstrap_expect: a group of 2 survives the loss of none, as one of 1 would; form it with an odd number of relays"},
		"join too short":       {change: edit(`, "ap-1:7946"`, ""), want: "warn cluster.join: lists 1 of the 2 other members that the group forms with; list them all, so that it forms whichever starts first"},
		"one upstream":         {change: edit(`, "seed2:9876"`, ""), want: "warn upstream.peers: one upstream only: when it is down, so is the relay's way out; list a second one on another host"},
		"open to the world":    {change: edit("producers: [bpa]", "producers: [bpa]\ndownstream: {allow: [0.0.0.0/0]}"), want: "warn downstream.allow: 0.0.0.0/0 lets every host connect as a replica; list the networks of your replicas"},
		"plain http":           {change: edit("http: {", `http: {listen: "0.0.0.0:9870", `), want: "warn http.listen: 0.0.0.0:9870 is reachable from other hosts without TLS: status and metrics are open to them; listen on 127.0.0.1 or set http.tls"},
		"gives up":             {change: edit("http: {", "failover: {unresolved_after: 10s}\nhttp: {"), want: "warn failover.unresolved_after: gives up waiting for the network after 10s; right only on a chain where nobody else produces"},
		"certificate of other": {id: func(id *certSpec) { id.names = []string{"us-1"} }, want: "fail cluster.tls.cert: node.pem is for us-1, not for this node, eu-1; name the right file or issue it again with relayctl certs issue eu-1"},
		"certificate of two":   {id: func(id *certSpec) { id.names = append(id.names, "us-1") }, want: "fail cluster.tls.cert: node.pem is for eu-1, us-1, not for this node, eu-1; name the right file or issue it again with relayctl certs issue eu-1"},
		"certificate no usage": {id: func(id *certSpec) { id.uses = nil }, want: "fail cluster.tls.cert: node.pem is not for both ends of a connection (server and client usage); issue it again with relayctl certs issue eu-1"},
		"certificate no name":  {id: func(id *certSpec) { id.names = nil }, want: "fail cluster.tls.cert: node.pem is for no name, not for this node, eu-1; name the right file or issue it again with relayctl certs issue eu-1"},
		"certificate ended":    {id: func(id *certSpec) { id.till = checkTime.AddDate(0, 0, -1) }, want: "fail cluster.tls.cert: node.pem ended on 2026-11-21; issue it again with relayctl certs issue eu-1"},
		"certificate ends":     {id: func(id *certSpec) { id.till = checkTime.AddDate(0, 0, 7) }, want: "warn cluster.tls.cert: node.pem ends on 2026-11-29; issue it again with relayctl certs issue eu-1"},
		"certificate too new": {id: func(id *certSpec) { id.from = checkTime.Add(time.Hour) }, want: "fail cluster.tls.cert: node.pem holds from 2026-11-22 13:00:00 UTC only; " +
			"set this host's clock or issue it again with relayctl certs issue eu-1"},
		"certificate for clients only": {id: func(id *certSpec) { id.uses = id.uses[1:] }, want: "fail cluster.tls.cert: node.pem is not for both ends of a connection " +
			"(server and client usage); issue it again with relayctl certs issue eu-1"},
		"certificate as authority": {change: edit("ca: ca.pem", "ca: node.pem"), want: `fail cluster.tls.ca: node.pem holds the certificate "", which is no authority; name the file that relayctl certs init made`},
		"authority ended": {
			id:   func(id *certSpec) { id.authority = ended },
			want: "fail cluster.tls.ca: ca.pem ended on 2026-11-21; make a new one with relayctl certs init and give it to every node\n" + notByEnded,
		},
		"former authority ended": {change: also(ended), want: "warn cluster.tls.ca: ca.pem also has an authority that ended on 2026-11-21; take it out of the file"},
		"authority ended beside another": {
			id: func(id *certSpec) { id.authority = ended }, change: also(checkTime.AddDate(1, 0, 0)),
			want: "warn cluster.tls.ca: ca.pem also has an authority that ended on 2026-11-21; take it out of the file\n" + notByEnded,
		},
		"API's certificate ended": {
			change: func(t *testing.T, dir string) {
				id := goodCert()
				id.till, id.authority = ended, ended
				other := t.TempDir()
				issueCert(t, other, id)
				for _, name := range []string{"ca.pem", "node.pem", "node-key.pem"} {
					writeFile(t, dir, "api-"+name, readFile(t, other, name))
				}
				edit("http: {", "http: {tls: {ca: api-ca.pem, cert: api-node.pem, key: api-node-key.pem}, ")(t, dir)
			},
			want: "warn http.tls.cert: api-node.pem ended on 2026-11-21; replace it\n" +
				"warn http.tls.ca: api-ca.pem ended on 2026-11-21; make a new one with relayctl certs init and give it to every node",
		},
		"authority empty":    {change: put("ca.pem", "none"), want: "fail cluster.tls.ca: ca.pem holds no certificate; name the file that relayctl certs init made"},
		"key as certificate": {change: edit("cert: node.pem", "cert: ca.pem"), want: "fail cluster.tls: ca.pem with node-key.pem: tls: private key does not match public key; name the two files of one certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			id := goodCert()
			if tt.id != nil {
				tt.id(&id)
			}
			dir := groupDir(t, id)
			if tt.change != nil {
				tt.change(t, dir)
			}
			if got := notOK(dir, Check(filepath.Join(dir, "relay.yaml"), nil, checkTime)); got != tt.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, tt.want)
			}
		})
	}
}

// TestCheckRefusesAnotherAuthority has a certificate that another group's authority issued.
func TestCheckRefusesAnotherAuthority(t *testing.T) {
	dir, other := groupDir(t, goodCert()), groupDir(t, goodCert())
	text, err := os.ReadFile(filepath.Join(other, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, dir, "ca.pem", string(text))
	got := notOK(dir, Check(filepath.Join(dir, "relay.yaml"), nil, checkTime))
	if !strings.Contains(got, "fail cluster.tls.cert: node.pem is not accepted by the group: x509: certificate signed by unknown authority") {
		t.Errorf("got:\n%s", got)
	}
}

// TestCheckAcceptsWhatCertsIssues has the files that the group's own tool makes.
func TestCheckAcceptsWhatCertsIssues(t *testing.T) {
	dir := groupDir(t, goodCert())
	for _, name := range []string{"ca.pem", "node.pem", "node-key.pem"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := transport.WriteSet(dir, "eu-1"); err != nil {
		t.Fatal(err)
	}
	environ := []string{"RELAY_CLUSTER_TLS_CERT=eu-1.pem", "RELAY_CLUSTER_TLS_KEY=eu-1-key.pem"}
	if got := notOK(dir, Check(filepath.Join(dir, "relay.yaml"), environ, time.Now())); got != "" {
		t.Errorf("findings:\n%s", got)
	}
}
