{{- /*
What a container of the sidecar is. `sidecar inject` adds the same; a test compares them.

Readiness never depends on upstreams: a sidecar whose upstream is down is doing its job. The app starts once /readyz
is 200, that is, once the sidecar listens; a configuration that cannot be served stops a rollout here. It is restarted
only when its loop does not turn any more.
*/ -}}
{{- define "sidecar.body" -}}
{{- $standalone := include "sidecar.isStandalone" . -}}
{{- if and (hasPrefix "127." .Values.adminAddress) (ne .Values.probes "exec") -}}
{{- fail "adminAddress is loopback: the kubelet cannot ask there, so set probes: exec" -}}
{{- end -}}
name: {{ .Values.name }}
{{- with .Values.image }}
{{- $tagged := printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) }}
image: {{ ternary (printf "%s@%s" .repository .digest) $tagged (ne .digest "") | quote }}
imagePullPolicy: {{ .pullPolicy }}
{{- end }}
args: [run, -c, /etc/sidecar/sidecar.yaml]
env:
  - {name: SIDECAR_ADMIN_LISTEN, value: "{{ .Values.adminAddress }}:{{ .Values.adminPort }}"}
  {{- if $standalone }}
  - {name: SIDECAR_LISTEN, value: "{{ ternary "[::]" "0.0.0.0" (hasPrefix "[" .Values.adminAddress) }}:{{ .Values.port }}"}
  {{- end }}
  {{- with .Values.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  {{- if $standalone }}
  - {name: http, containerPort: {{ .Values.port }}, protocol: TCP}
  {{- end }}
  - {name: sidecar-admin, containerPort: {{ .Values.adminPort }}, protocol: TCP}
startupProbe:
  {{- include "sidecar.probe" (list . "/readyz") | nindent 2 }}
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  {{- include "sidecar.probe" (list . "/healthz") | nindent 2 }}
  periodSeconds: 10
  timeoutSeconds: 3
readinessProbe:
  {{- include "sidecar.probe" (list . "/readyz") | nindent 2 }}
  periodSeconds: 5
  timeoutSeconds: 3
{{- $sleeps := semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version }}
{{- if and $standalone .Values.standalone.preStopSeconds $sleeps }}
lifecycle:
  preStop:
    sleep: {seconds: {{ .Values.standalone.preStopSeconds }}}
{{- end }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
volumeMounts:
  - {name: {{ .Values.name }}-config, mountPath: /etc/sidecar, readOnly: true} # a directory: its changes arrive
  {{- if .Values.kept.enabled }}
  - {name: {{ .Values.name }}-kept, mountPath: /var/lib/sidecar}
  {{- end }}
  {{- range .Values.secrets }}
  - {name: {{ $.Values.name }}-{{ . }}, mountPath: /run/secrets/{{ . }}, readOnly: true}
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "sidecar.probe" -}}
{{- $root := first . -}}
{{- if eq $root.Values.probes "exec" -}}
{{- $ready := eq (last .) "/readyz" -}}
exec: {command: [sidecar, health, {{ if $ready }}--ready, {{ end }}"http://127.0.0.1:{{ $root.Values.adminPort }}"]}
{{- else -}}
httpGet: {path: {{ last . }}, port: sidecar-admin}
{{- end -}}
{{- end -}}

{{- /*
For the initContainers of another chart's pod, before those that call through it; with native: false for its
containers.

    initContainers:
      {{- include "sidecar.container" .Subcharts.sidecar | nindent 8 }}
*/ -}}
{{- define "sidecar.container" -}}
{{- if .Values.native -}}
{{- if semverCompare "<1.29.0-0" .Capabilities.KubeVersion.Version -}}
{{- fail "native sidecars need Kubernetes 1.29: set native: false, and include it under containers" -}}
{{- end -}}
- restartPolicy: Always
  {{- include "sidecar.body" . | nindent 2 }}
{{- else -}}
-
  {{- include "sidecar.body" . | nindent 2 }}
{{- end -}}
{{- end -}}

{{- /*
For the volumes of the same pod.

    volumes:
      {{- include "sidecar.volumes" .Subcharts.sidecar | nindent 8 }}
*/ -}}
{{- define "sidecar.volumes" -}}
- name: {{ .Values.name }}-config
  configMap: {name: {{ include "sidecar.configMapName" . }}}
{{- if .Values.kept.enabled }}
- name: {{ .Values.name }}-kept
  emptyDir: {sizeLimit: {{ .Values.kept.sizeLimit }}}
{{- end }}
{{- range .Values.secrets }}
- name: {{ $.Values.name }}-{{ . }}
  secret: {secretName: {{ . }}}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /*
For the annotations of the same pod, if a changed configuration is to roll it. Without it the sidecar reloads the
file when the kubelet brings it, within a minute or two.

    annotations:
      {{- include "sidecar.annotations" .Subcharts.sidecar | nindent 8 }}
*/ -}}
{{- define "sidecar.annotations" -}}
{{- include "sidecar.checksum" . -}}
{{- end -}}
