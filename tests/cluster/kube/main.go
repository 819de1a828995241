// kube is a whole Kubernetes in one binary: etcd, the control plane, a node's parts and kubectl.
// The part is named by the first argument, or by the name the binary is called by.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

const usage = "usage: kube etcd|apiserver|controller-manager|scheduler|kubelet|proxy|kubectl [arguments]"

func main() {
	part, arguments := split(os.Args)
	os.Args = append([]string{part}, arguments...)
	switch part {
	case "etcd":
		etcdmain.Main(os.Args)
	case "kubectl":
		if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
			kubectlutil.CheckErr(err)
		}
	default:
		os.Exit(cli.Run(command(part)))
	}
}

// split tells the part's name from its arguments.
func split(args []string) (string, []string) {
	if called := filepath.Base(args[0]); called != "kube" {
		return strings.TrimPrefix(called, "kube-"), args[1:]
	}
	if len(args) < 2 {
		refuse(usage)
	}
	return args[1], args[2:]
}

func command(part string) *cobra.Command {
	switch part {
	case "apiserver":
		return apiserver.NewAPIServerCommand()
	case "controller-manager":
		return controllers.NewControllerManagerCommand()
	case "scheduler":
		return scheduler.NewSchedulerCommand()
	case "kubelet":
		return kubelet.NewKubeletCommand(context.Background())
	case "proxy":
		return proxy.NewProxyCommand()
	}
	refuse(fmt.Sprintf("kube: no part %q\n%s", part, usage))
	return nil
}

func refuse(words string) {
	fmt.Fprintln(os.Stderr, words)
	os.Exit(2)
}
