{{- define "causeway.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* Some objects append up to eight characters, and a Service's name has no dots. */}}
{{- define "causeway.fullname" -}}
{{- $name := printf "%s-%s" .Release.Name (include "causeway.name" .) }}
{{- if contains (include "causeway.name" .) .Release.Name }}
{{- $name = .Release.Name }}
{{- end }}
{{- default $name .Values.fullnameOverride | replace "." "-" | trunc 55 | trimSuffix "-" }}
{{- end }}

{{- /* A duration such as 1h30m in milliseconds. */}}
{{- define "causeway.milliseconds" -}}
{{- $sum := 0.0 }}
{{- range regexFindAll "[0-9.]+(ms|s|m|h)" . -1 }}
{{- $unit := regexFind "[a-z]+$" . }}
{{- $in := get (dict "ms" 1.0 "s" 1000.0 "m" 60000.0 "h" 3600000.0) $unit }}
{{- $sum = addf $sum (mulf (float64 (trimSuffix $unit .)) $in) }}
{{- end }}
{{- int64 $sum }}
{{- end }}

{{- define "causeway.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "causeway.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name is missing: name the ServiceAccount, or let the chart make it with serviceAccount.create" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "causeway.selector" -}}
app.kubernetes.io/name: {{ include "causeway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "causeway.labels" -}}
{{ include "causeway.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "causeway.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{- define "causeway.subject" -}}
- kind: ServiceAccount
  name: {{ include "causeway.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}
