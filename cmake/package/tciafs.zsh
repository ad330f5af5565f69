#compdef tciafs
# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
#
# Completion for zsh: tciafs itself is asked what could come next.
_tciafs() {
  local offer
  local -a described space
  for offer in "${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    case $offer in
      :files) _files ;;
      :directories) _files -/ ;;
      :nospace) space=(-S '') ;;
      *$'\t'*)
        # A colon ends the word for _describe, unless it is escaped.
        described+=("${${offer%%$'\t'*}//:/\\:}:${offer#*$'\t'}")
        ;;
    esac
  done
  (( ${#described} == 0 )) || _describe -V tciafs described "${space[@]}"
}
_tciafs "$@"
