// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secret "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/anypb"

	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pkg/spiffe"
	"istio.io/istio/pkg/wasm"
)

// authenticated takes every proxy for the gateway's service account, which may have the secrets of its namespace.
type authenticated struct{ model.XdsResourceGenerator }

func (a authenticated) Generate(p *model.Proxy, w *model.WatchedResource, r *model.PushRequest) (model.Resources, model.XdsLogDetails, error) {
	if p.VerifiedIdentity == nil {
		p.VerifiedIdentity = &spiffe.Identity{TrustDomain: "cluster.local", Namespace: p.ConfigNamespace, ServiceAccount: "gateway"}
	}
	return a.XdsResourceGenerator.Generate(p, w, r)
}

// agent fetches modules, as pilot-agent does, with its code: Envoy gets a file in place of a URL.
type agent struct {
	model.XdsResourceGenerator
	cache wasm.Cache
}

func newAgent(generator model.XdsResourceGenerator, folder string) agent {
	return agent{generator, wasm.NewLocalFileCache(folder, wasm.Options{
		PurgeInterval: time.Hour, ModuleExpiry: 24 * time.Hour, HTTPRequestTimeout: 15 * time.Second, HTTPRequestMaxRetries: 5,
	})}
}

func (a agent) Generate(p *model.Proxy, w *model.WatchedResource, r *model.PushRequest) (model.Resources, model.XdsLogDetails, error) {
	resources, details, err := a.XdsResourceGenerator.Generate(p, w, r)
	if err != nil || len(resources) == 0 {
		return resources, details, err
	}
	converted := make([]*anypb.Any, len(resources))
	for i := range resources {
		converted[i] = resources[i].Resource
	}
	err = wasm.MaybeConvertWasmExtensionConfig(converted, a.cache)
	for i := range resources {
		resources[i].Resource = converted[i]
		extension := &core.TypedExtensionConfig{}
		must(converted[i].UnmarshalTo(extension))
		fmt.Println("AGENT", extension.Name, extension.GetTypedConfig().GetTypeUrl(), err)
	}
	return resources, details, nil
}

// workloads gives each workload its certificate and key, and the mesh's CA, as pilot-agent does; new ones when the files change.
type workloads struct {
	secret.UnimplementedSecretDiscoveryServiceServer
	folder string
}

func serveSecrets(address, folder string) {
	listener, err := net.Listen("tcp", address)
	must(err)
	server := grpc.NewServer()
	secret.RegisterSecretDiscoveryServiceServer(server, workloads{folder: folder})
	must(server.Serve(listener))
}

func (w workloads) StreamSecrets(stream secret.SecretDiscoveryService_StreamSecretsServer) error {
	requests := make(chan *discovery.DiscoveryRequest)
	go func() {
		defer close(requests)
		for {
			request, err := stream.Recv()
			if err != nil {
				return
			}
			requests <- request
		}
	}()
	var workload string
	var names []string
	var sent string
	for {
		select {
		case request, more := <-requests:
			if !more {
				return nil
			}
			// TYPE~ADDRESS~NAME.NAMESPACE~DOMAIN
			if parts := strings.Split(request.GetNode().GetId(), "~"); len(parts) == 4 {
				workload = parts[2]
			}
			names = request.ResourceNames
		case <-time.After(100 * time.Millisecond):
		}
		response, err := w.secrets(workload, names)
		if err != nil {
			return err
		}
		wanted := strings.Join(slices.Concat(names, []string{response.VersionInfo}), " ")
		if len(names) > 0 && wanted != sent {
			if err := stream.Send(response); err != nil {
				return err
			}
			sent = wanted
		}
	}
}

func (w workloads) secrets(workload string, names []string) (*discovery.DiscoveryResponse, error) {
	text := func(name string) (*core.DataSource, error) {
		content, err := os.ReadFile(filepath.Join(w.folder, workload, name))
		return &core.DataSource{Specifier: &core.DataSource_InlineBytes{InlineBytes: content}}, err
	}
	certificate, err := text("cert.pem")
	if err != nil {
		return nil, err
	}
	key, err := text("key.pem")
	if err != nil {
		return nil, err
	}
	ca, err := text("ca.pem")
	if err != nil {
		return nil, err
	}
	version := fmt.Sprintf("%x", sha256.Sum256(slices.Concat(certificate.GetInlineBytes(), key.GetInlineBytes(), ca.GetInlineBytes())))
	response := &discovery.DiscoveryResponse{VersionInfo: version, Nonce: version}
	for _, name := range names {
		found := &tls.Secret{Name: name}
		if name == "ROOTCA" {
			found.Type = &tls.Secret_ValidationContext{ValidationContext: &tls.CertificateValidationContext{TrustedCa: ca}}
		} else {
			found.Type = &tls.Secret_TlsCertificate{TlsCertificate: &tls.TlsCertificate{CertificateChain: certificate, PrivateKey: key}}
		}
		packed, err := anypb.New(found)
		if err != nil {
			return nil, err
		}
		response.TypeUrl = packed.TypeUrl
		response.Resources = append(response.Resources, packed)
	}
	return response, nil
}
