// Command ferretdb serves the MongoDB wire protocol on SQLite files, for tests.
//
// It wraps FerretDB's embeddable package, because its own command, built as a
// dependency, panics for want of a generated version file. It deliberately has
// no authentication, TLS or telemetry: it listens on loopback for one test run.
//
// SPDX-License-Identifier: Apache-2.0
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	listen := flag.String("listen", "", "loopback address to listen on, host:port")
	data := flag.String("data", "", "folder of the database files; made if absent")
	flag.Parse()
	if *listen == "" || *data == "" {
		log.Fatal("both -listen and -data are needed")
	}
	if err := run(*listen, *data); err != nil {
		log.Fatal(err)
	}
}

func run(listen, data string) error {
	folder, err := filepath.Abs(data)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: listen},
		Handler:   "sqlite",
		SQLiteURL: "file:" + folder + "/",
	})
	if err != nil {
		return err
	}
	if err := server.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
