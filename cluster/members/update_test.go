package members_test

import (
	"testing"

	"github.com/thinrelay/thinrelay/cluster/members"
)

// A member looks at itself twice a second and is most often what it was: that is not told again, each time to all.
func TestTheSameIsToldOnce(t *testing.T) {
	same := members.Meta{RaftID: "a-1", Replicas: []string{"nodeos-a"}, UpstreamReachable: true}
	m, err := members.Open(t.Context(), members.Config{Node: "a", Label: "test", KeyFile: keyFile(t), Bind: "127.0.0.1:0", Tune: local, Meta: same})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	m.Update(same)
	if m.Untold() {
		t.Error("the same is told again")
	}
	for _, change := range []func(*members.Meta){
		func(m *members.Meta) { m.Replicas = []string{"nodeos-b"} },
		func(m *members.Meta) { m.UpstreamReachable = false },
		func(m *members.Meta) { m.Joining = true },
	} {
		m, err := members.Open(t.Context(), members.Config{Node: "a", Label: "test", KeyFile: keyFile(t), Bind: "127.0.0.1:0", Tune: local, Meta: same})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		other := same
		change(&other)
		m.Update(other)
		if !m.Untold() {
			t.Errorf("%+v is not told", other)
		}
	}
}
