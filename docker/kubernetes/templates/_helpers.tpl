{{- define "flowgimbal.fullname" -}}
{{- if contains "flowgimbal" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-flowgimbal" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* What tells the pods of this release apart; a list of the root and the component. */}}
{{- define "flowgimbal.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: flowgimbal
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "flowgimbal.labels" -}}
{{- $root := index . 0 -}}
{{ include "flowgimbal.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ $root.Chart.Name }}-{{ $root.Chart.Version }}
{{- end }}

{{/* The name that certificates bear. */}}
{{- define "flowgimbal.serverName" -}}
{{- .Values.tls.serverName | default (printf "%s.%s.svc" (include "flowgimbal.fullname" .) .Release.Namespace) }}
{{- end }}

{{/* What `flowgimbal serve` would refuse, said before a pod does: see ServeConfig. */}}
{{- define "flowgimbal.checkAccess" -}}
{{- if and .Values.tls.clientCertificates (not .Values.tls.secretName) }}
{{- fail "tls.clientCertificates: needs TLS; name tls.secretName, too" }}
{{- end }}
{{- if not .Values.insecure }}
{{- if not .Values.tls.secretName }}
{{- fail "tls.secretName: the servers need TLS; name a Secret, or say insecure" }}
{{- end }}
{{- if not (or .Values.tokens.secretName .Values.tls.clientCertificates) }}
{{- fail "tokens.secretName: the servers need tokens, or tls.clientCertificates; name a Secret, or say insecure" }}
{{- end }}
{{- end }}
{{- if gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas) }}
{{- fail "autoscaling.minReplicas: more than maxReplicas" }}
{{- end }}
{{- end }}

{{- define "flowgimbal.podSecurity" -}}
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "flowgimbal.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Pods of one component on different nodes, and zones, where there are several. */}}
{{- define "flowgimbal.spread" -}}
{{- range $number, $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
{{- if $number }}{{ "\n" }}{{ end -}}
- topologyKey: {{ $key }}
  maxSkew: 1
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "flowgimbal.selector" $ | nindent 6 }}
{{- end }}
{{- end }}
