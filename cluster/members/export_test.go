package members

// Untold says whether Run has something to tell the others.
func (m *Members) Untold() bool { return len(m.updated) > 0 }
