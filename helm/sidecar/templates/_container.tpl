{{- /*
What a container of the sidecar is, native or not. Readiness never depends on upstreams: a sidecar whose upstream is
down is doing its job.
*/ -}}
{{- define "sidecar.containerBody" -}}
name: sidecar
image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [run, -c, /etc/sidecar/sidecar.yaml]
ports:
  - {name: proxy, containerPort: {{ .Values.port }}, protocol: TCP}
  - {name: admin, containerPort: {{ .Values.adminPort }}, protocol: TCP}
startupProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 1
  failureThreshold: 30
livenessProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 10
  timeoutSeconds: 3
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 5
  timeoutSeconds: 3
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities: {drop: [ALL]}
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.env }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
volumeMounts:
  - {name: sidecar-config, mountPath: /etc/sidecar, readOnly: true}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- /*
For the initContainers of another chart's pod: a native sidecar, started before the app and stopped after it.

    initContainers:
      {{- include "sidecar.container" .Subcharts.sidecar | nindent 6 }}
*/ -}}
{{- define "sidecar.container" -}}
- restartPolicy: Always
  {{- include "sidecar.containerBody" . | nindent 2 }}
{{- end -}}

{{- /*
For the volumes of the same pod.

    volumes:
      {{- include "sidecar.volumes" .Subcharts.sidecar | nindent 6 }}
*/ -}}
{{- define "sidecar.volumes" -}}
- name: sidecar-config
  configMap: {name: {{ include "sidecar.configMapName" . }}}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
