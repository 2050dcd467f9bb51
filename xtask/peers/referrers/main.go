// A container registry in memory with the referrers API of OCI 1.1: CUE's implementation, as it is.
package main

import (
	"log"
	"net/http"
	"os"
	"time"

	"cuelabs.dev/go/oci/ociregistry/ocimem"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
)

func main() {
	server := http.Server{
		Addr:              os.Args[1],
		Handler:           ociserver.New(ocimem.New(), nil),
		ReadHeaderTimeout: 10 * time.Second,
	}
	log.Fatal(server.ListenAndServe())
}
