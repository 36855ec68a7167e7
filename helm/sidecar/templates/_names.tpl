{{- define "sidecar.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "sidecar.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sidecar.labels" -}}
{{ include "sidecar.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "sidecar.configMapName" -}}
{{- .Values.existingConfigMap | default (include "sidecar.fullname" .) -}}
{{- end -}}

{{- /* "true" or "": whether it is a proxy of its own. */ -}}
{{- define "sidecar.isStandalone" -}}
{{- if eq (toString .Values.standalone.enabled) "auto" -}}
{{- if .Chart.IsRoot }}true{{ end -}}
{{- else if .Values.standalone.enabled -}}
true
{{- end -}}
{{- end -}}

{{- /* Of the configuration: a change of it rolls the pods. */ -}}
{{- define "sidecar.checksum" -}}
{{- if not .Values.existingConfigMap -}}
resilience-sidecar/config: {{ list .Values.config .Values.files | toJson | sha256sum | trunc 16 | quote }}
{{- end -}}
{{- end -}}
