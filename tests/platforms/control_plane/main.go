// SPDX-License-Identifier: Apache-2.0

// Istio's own control plane, without Kubernetes: Istio's code for its tests of xDS, fed with files, serves plain Envoys.
//
// Not Istio's: an Envoy is taken for who it says it is, and what pilot-agent does between the control plane and Envoy, with
// Istio's own code, is done in this process (agent.go).
package main

import (
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"istio.io/istio/pilot/pkg/config/kube/crd"
	v3 "istio.io/istio/pilot/pkg/xds/v3"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/log"
	"istio.io/istio/pkg/test"
)

func main() {
	configs := flag.String("config", "", "folder of Istio resources, which are read again when they change")
	kube := flag.String("kube", "", "file of Kubernetes' own objects")
	listen := flag.String("listen", "", "address for xDS")
	secrets := flag.String("secrets", "", "address for the secrets of workloads")
	identities := flag.String("identities", "", "folder with a folder for each workload: cert.pem, key.pem, ca.pem")
	cache := flag.String("cache", "", "folder for modules")
	flag.Parse()
	options := log.DefaultOptions()
	options.SetDefaultOutputLevel("default", log.WarnLevel)
	options.SetDefaultOutputLevel("wasm", log.DebugLevel)
	must(log.Configure(options))
	go serveSecrets(*secrets, *identities)
	must(test.Wrap(func(t test.Failer) {
		server := xds.NewFakeDiscoveryServer(t, xds.FakeOptions{
			ConfigString:               folder(*configs),
			KubernetesObjectString:     file(*kube),
			DisableSecretAuthorization: true,
			ListenerBuilder:            func() (net.Listener, error) { return net.Listen("tcp", *listen) },
		})
		generators := server.Discovery.Generators
		generators[v3.SecretType] = authenticated{generators[v3.SecretType]}
		generators[v3.ExtensionConfigurationType] = newAgent(generators[v3.ExtensionConfigurationType], *cache)
		fmt.Println("READY")
		watch(server, *configs)
	}))
}

// watch hands what changes in the folder to the control plane.
func watch(server *xds.FakeDiscoveryServer, path string) {
	last := folder(path)
	for {
		time.Sleep(50 * time.Millisecond)
		now := folder(path)
		if now == last {
			continue
		}
		old, _ := parse(last)
		last = now
		resources, err := parse(now)
		if err != nil {
			fmt.Println("UPDATE not read:", err)
			continue
		}
		there := map[string]bool{}
		for _, each := range resources {
			there[key(each)] = true
			fmt.Println("UPDATE", key(each), put(server, each))
		}
		for _, each := range old {
			if !there[key(each)] {
				fmt.Println("UPDATE", key(each), server.Store().Delete(each.GroupVersionKind, each.Name, each.Namespace, nil))
			}
		}
	}
}

func put(server *xds.FakeDiscoveryServer, resource config.Config) error {
	have := server.Store().Get(resource.GroupVersionKind, resource.Name, resource.Namespace)
	if have == nil {
		_, err := server.Store().Create(resource)
		return err
	}
	if proto.Equal(have.Spec.(proto.Message), resource.Spec.(proto.Message)) {
		return nil
	}
	resource.ResourceVersion = have.ResourceVersion
	_, err := server.Store().Update(resource)
	return err
}

func key(resource config.Config) string {
	return resource.GroupVersionKind.Kind + " " + resource.Namespace + "/" + resource.Name
}

func parse(text string) ([]config.Config, error) {
	resources, others, err := crd.ParseInputs(text)
	for _, other := range others {
		fmt.Println("NOT ISTIO'S:", other.Kind, other.Name)
	}
	return resources, err
}

// folder is the text of all YAML files of a folder.
func folder(path string) string {
	found, err := filepath.Glob(filepath.Join(path, "*.yaml"))
	must(err)
	var texts []string
	for _, each := range found {
		texts = append(texts, file(each))
	}
	return strings.Join(texts, "\n---\n")
}

func file(path string) string {
	content, err := os.ReadFile(path)
	must(err)
	return string(content)
}

func must(err error) {
	if err != nil {
		fmt.Println("FAILED", err)
		os.Exit(1)
	}
}
