# SPDX-License-Identifier: Apache-2.0
# Copyright the tciafs authors
#
# Completion for fish: tciafs itself is asked what could come next.
function __tciafs_complete
    set -l words (commandline -opc)
    set -l typed (commandline -ct)
    for offer in ($words[1] __complete $words[2..-1] "$typed" 2>/dev/null)
        switch $offer
            case :files
                __fish_complete_path "$typed"
            case :directories
                __fish_complete_directories "$typed"
            case :nospace
            case '*'
                echo $offer
        end
    end
end
complete -c tciafs -f -a '(__tciafs_complete)'
