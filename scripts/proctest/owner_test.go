package proctest_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// ownerOf finds out which of the processes has the socket with this local and
// this remote address. Relays cannot be told to call from an address of their
// own, so this is how the fabric knows one from another.
func ownerOf(local, remote *net.TCPAddr, pids map[int]string) string {
	inode := inodeOf(local, remote)
	if inode == "" {
		return ""
	}
	want := "socket:[" + inode + "]"
	for pid, name := range pids {
		files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		if err != nil {
			continue
		}
		for _, file := range files {
			if link, err := os.Readlink(file); err == nil && link == want {
				return name
			}
		}
	}
	return ""
}

// inodeOf looks a socket up in the kernel's table. A port of its own it need
// not have: it can share it with sockets that are connected elsewhere.
func inodeOf(local, remote *net.TCPAddr) string {
	here, there := inTable(local), inTable(remote)
	f, err := os.Open("/proc/net/tcp")
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > 9 && fields[1] == here && fields[2] == there && fields[9] != "0" {
			return fields[9]
		}
	}
	return ""
}

// inTable is an address as that table has it.
func inTable(a *net.TCPAddr) string {
	ip := a.IP.To4()
	if ip == nil {
		return ""
	}
	return fmt.Sprintf("%08X:%04X", binary.LittleEndian.Uint32(ip), a.Port)
}
