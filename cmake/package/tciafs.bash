# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
#
# Completion for bash: tciafs itself is asked what could come next.
_tciafs() {
  local words=() index offer cut="" IFS=$' \t\n'
  # bash splits at "=", too; what stands around one is one word to us.
  for ((index = 1; index <= COMP_CWORD; index++)); do
    if [[ ${COMP_WORDS[index]} == = && ${#words[@]} -gt 0 ]]; then
      words[-1]+="="
    elif [[ ${COMP_WORDS[index - 1]} == = && ${#words[@]} -gt 0 ]]; then
      words[-1]+=${COMP_WORDS[index]}
    else
      words+=("${COMP_WORDS[index]}")
    fi
  done
  [[ $COMP_WORDBREAKS != *=* || ${words[-1]} != *=* ]] || cut="${words[-1]%=*}="
  local typed=${words[-1]#"$cut"}
  COMPREPLY=()
  while IFS= read -r offer; do
    case $offer in
      :files)
        compopt -o filenames 2>/dev/null
        while IFS= read -r offer; do COMPREPLY+=("$offer"); done < <(compgen -f -- "$typed")
        ;;
      :directories)
        compopt -o filenames 2>/dev/null
        while IFS= read -r offer; do COMPREPLY+=("$offer"); done < <(compgen -d -- "$typed")
        ;;
      :nospace) compopt -o nospace 2>/dev/null ;;
      *)
        offer=${offer%%$'\t'*}
        COMPREPLY+=("${offer#"$cut"}")
        ;;
    esac
  done < <("${COMP_WORDS[0]}" __complete "${words[@]}" 2>/dev/null)
}
complete -F _tciafs tciafs
