// A Redis in memory, for the Argo CD of `cargo xtask platform` where the machine has no redis-server: Argo CD keeps
// nothing there but what it can work out again.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/alicebob/miniredis/v2"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: redis HOST:PORT")
		os.Exit(2)
	}
	server := miniredis.NewMiniRedis()
	if err := server.StartAddr(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// Its keys expire by this clock alone.
	for range time.Tick(time.Second) {
		server.FastForward(time.Second)
	}
}
