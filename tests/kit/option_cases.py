"""Every option of the command line, with another value: the tables of test_options.py."""

SMALL = "--size 36 --width 0.05 --fc 12 --dropout 0 --epochs 1 --batch 2 --cache CACHE"
UNCACHED = SMALL.replace("CACHE", "none")
BASES = {  # name: a command; DATA, FEATURES and others are files of the fixture `files`
    "pooling": "train FEATURES --head conv --fc 6 --frames 4 --epochs 2 --batch 5 --lr 0.05",
    "late": "train FEATURES --head late --fc 6 --frames 4 --epochs 2 --batch 5 --lr 0.05",
    "recurrent": "train FEATURES --head lstm --units 4 --depth 2 --frames 4 --epochs 2 --batch 5 --lr 0.05 --loss sum",
    "plain": "train FEATURES --head rnn --units 4 --depth 2 --frames 4 --epochs 1 --batch 5",
    "videos": f"train DATA --tower alexnet --head conv --frames 3 {SMALL}",
    "timed": f"train DATA --tower alexnet --head conv --frames 3 --fps 12.5 {SMALL}",
    "flow": f"train DATA --stream flow --bound 4 --head single --frames 1 --tvl1 iterations=3,warps=1 {UNCACHED}",
    "googlenet": f"train DATA --tower googlenet --vector 6 --head single --frames 1 {SMALL}",
    "shards": "train FEATURES --head conv --fc 6 --frames 4 --batch 5 --epochs 1 --downpour",
    "missing": f"train MISSING --tower alexnet --head single --frames 1 {SMALL}",
    "heads": "train DATA --features-of MODEL --head conv --fc 6 --frames 3 --epochs 1 --batch 2 --cache CACHE",
    "evaluate": "evaluate MODEL DATA --cache CACHE",
    "evaluate lstm": "evaluate LSTM FEATURES --save OUT/p.npz",
    "evaluate missing": "evaluate MODEL MISSING --cache CACHE",
    "expand": "expand SINGLE --out OUT/big.npz",
    "fuse": "fuse ONE TWO --save OUT/p.npz",
    "svm": "fuse ONE TWO --svm TRAIN1 TRAIN2",
    "check": "check-data DATA",
    "check timed": "check-data DATA --fps 25 --frames 1",
    "predict": "predict MODEL CLIP",
    "features": "features DATA --size 36 --width 0.04 --tower alexnet --count 3 --cache CACHE --out OUT/f.npz",
    "features timed": (
        "features DATA --size 36 --width 0.04 --tower alexnet --count 3 --fps 12.5 --cache CACHE --out OUT/f.npz"
    ),
    "features flow": (
        "features DATA --stream flow --size 36 --width 0.04 --tower alexnet --count 2 --tvl1 iterations=3,warps=1 "
        "--cache none --out OUT/f.npz"
    ),
    "features missing": "features MISSING --size 36 --width 0.04 --tower alexnet --count 2 --out OUT/f.npz",
    "tables": "tables --dry-run --seeds 1",
    "tables laptop": "tables --dry-run --seeds 1 --data elsewhere --scale laptop --weights some",
    "compare": "compare FEATURES --heads conv rnn --seeds 1",
    "compare late": "compare FEATURES --heads late conv --seeds 1",
    "compare lstm": "compare FEATURES --heads lstm --units 4 --depth 1 --seeds 1",
    "flow picture": "flow CLIP --size 36 --tvl1 iterations=3,warps=1 --render OUT/flow.avi",
    "flow cache": "flow DATA --size 36 --tvl1 iterations=3,warps=1 --cache OUT/cache",
    "summary": "summary --tower alexnet --head conv --frames 2 --size 36 --width 0.04 --fc 6",
    "summary googlenet": "summary --tower googlenet --head conv --frames 2 --size 36 --width 0.04 --fc 6",
    "summary late": "summary --tower alexnet --head late --frames 2 --size 36 --width 0.04 --fc 6",
    "summary lstm": "summary --tower alexnet --head lstm --frames 2 --size 36 --width 0.04 --fc 6 --units 4",
    "scaling": "scaling --tower alexnet --head conv --frames 2 --size 36 --width 0.04 --fc 6 --batch 2",
    "scaling googlenet": "scaling --tower googlenet --head conv --frames 2 --size 36 --width 0.04 --fc 6 --batch 2",
    "scaling rnn": "scaling --tower googlenet --vector 6 --head rnn --frames 2 --size 36 --depth 1 --batch 1",
    "summary rnn": "summary --tower googlenet --vector 6 --head rnn --frames 2 --size 36 --width 0.04 --depth 1",
    "scaling late": "scaling --tower alexnet --head late --frames 2 --size 36 --width 0.04 --fc 6 --batch 2",
    "scaling lstm": "scaling --tower alexnet --head lstm --frames 2 --size 36 --width 0.04 --fc 6 --batch 2 --units 4",
    "simulate": "simulate FEATURES --head conv --fc 6 --frames 4 --batch 3 --epochs 2 --counts 2 --fetch 2 --lr 0.05",
    "simulate late": "simulate FEATURES --head late --fc 6 --frames 4 --batch 3 --epochs 2 --counts 2 --lr 0.05",
    "simulate deaths": (
        "simulate FEATURES --head conv --fc 6 --frames 4 --batch 2 --epochs 4 --counts 2 --fetch 1 --push 1 --mtbf 1 "
        "--restart 0.3 --shards 1 --checkpoint-every 10"
    ),
    "simulate timed": f"simulate DATA --tower alexnet --head single --frames 1 --fps 12.5 --counts 1 {SMALL}",
    "simulate lstm": "simulate FEATURES --head lstm --units 4 --depth 2 --frames 4 --batch 5 --epochs 1 --counts 1",
    "simulate rnn": "simulate FEATURES --head rnn --units 4 --depth 1 --frames 4 --batch 5 --epochs 1 --counts 1",
    "simulate videos": f"simulate DATA --tower alexnet --head single --frames 1 --counts 1 {SMALL}",
    "simulate flow": (
        f"simulate DATA --stream flow --tvl1 iterations=3,warps=1 --head single --frames 1 --counts 1 {UNCACHED}"
    ),
    "simulate googlenet": f"simulate DATA --tower googlenet --vector 6 --head single --frames 1 --counts 1 {SMALL}",
    "simulate heads": "simulate DATA --features-of MODEL --head conv --fc 6 --frames 3 --counts 1 --cache CACHE",
    "simulate missing": f"simulate MISSING --tower alexnet --head single --frames 1 --counts 1 {SMALL}",
}
NET = "--width 0.08|--size 40|--head average|--frames 4|--fc 7|--tower googlenet|--differences|--standardise"
TRAINING = (
    "--epochs 3|--batch 4|--lr 0.02|--decay 0.5|--momentum 0.5|--weight-decay 0.1|--decay-biases|--clip-norm 0.05"
    "|--loss sum|--augmentation none|--seed 1"
)
FLOW = "--flow-fps 25|--bound 1|--tvl1 iterations=4,warps=2"
PIXELS = "--fps 5|--mean 90|--scale 60"
GOOGLENET = "--tap average|--vector 5|--variant caffe|--tower-dropout 0.1|--auxiliary 0.5"
# base: options with another value, each a case of its own; several words together where one option needs another
CASES = {
    "pooling": f"{TRAINING}|--head late|--dropout 0.1|--frames 3|--fc 5|--features raw|--views 3|--evaluate-every 2"
    "|--whole|--freeze fc1/|--lr-group fc1/=0.1|--init POOLED|--differences|--standardise",
    "late": "--dropout-mask frame",
    "recurrent": "--forget-bias 0|--gain ones|--gain last|--inference max|--units 5|--depth 1|--loss mean",
    "plain": "--activation tanh",
    "videos": f"{PIXELS}|--size 40|--width 0.08|--norm lcn|--tower googlenet|--fold 2|--fold all|--skip SKIP"
    "|--stream flow",
    "timed": "--seconds 0.16",
    "flow": FLOW,
    "heads": "--count 3|--dtype float16|--features-of SINGLE",
    "googlenet": GOOGLENET,
    "shards": "--replicas 3|--shards 2|--fetch 2|--push 2|--rule adagrad|--staleness 1|--ahead 1"
    "|--warm-start-steps 2|--checkpoint-every 7|--address here:1",
    "missing": "--available",
    "evaluate": "--views 3|--whole|--side train|--skip SKIP|--save OUT/p.npz",
    "evaluate lstm": "--mode max",
    "evaluate missing": "--available",
    "expand": "--head late|--frames 2",
    "fuse": "--weights 5 1|--save OUT/q.npz",
    "svm": "--svm-c 0.0001",
    "check timed": "--seconds 0.16",
    "check": "--frames 5|--fps 12.5|--skip SKIP|--write-skip OUT/skip.txt",
    "predict": "--views 2|--whole|--top 1|--render OUT/a.png",
    "features": f"{PIXELS}|--size 40|--width 0.08|--count 2|--seed 1|--tower googlenet|--fold 2|--skip SKIP"
    "|--stream flow|--out OUT/g.npz|--model MODEL|--dtype float16|--tower googlenet --tap average",
    "features flow": FLOW,
    "features timed": "--seconds 0.16",
    "features missing": "--available",
    "tables laptop": "--native-rate|--weights other|--available",
    "tables": "--data elsewhere|--table 3|--seeds 2|--first-seed 4|--out else|--cache else|--pretrained else"
    "|--device cuda",
    "compare": f"{TRAINING.removesuffix('|--seed 1')}|--heads late|--seeds 2|--width 0.5|--fc 7|--dropout 0.1|--units 9"
    "|--depth 2|--activation tanh|--gain ones|--inference max|--device cuda"
    "|--differences|--standardise",
    "compare late": "--dropout-mask frame",
    "compare lstm": "--forget-bias 0",
    "flow picture": "--flow-fps 25|--tvl1 iterations=4,warps=2|--size 40|--fps 12.5|--render OUT/other.avi",
    "flow cache": f"{FLOW}|--skip SKIP|--size 40|--cache OUT/other",
    "summary": f"{NET}|--norm lcn|--classes 7|--batch 3|--draw OUT/a.svg",
    "summary googlenet": f"{GOOGLENET}".replace("|--tower-dropout 0.1|--auxiliary 0.5", ""),
    "summary lstm": "--units 5|--depth 1",
    "scaling": f"{NET}|--norm lcn|--classes 7|--batch 3|--seed 1|--repeat 3",
    "scaling googlenet": GOOGLENET.replace("|--tower-dropout 0.1", ""),
    "scaling lstm": "--forget-bias 0|--units 5|--depth 1",
    "scaling rnn": "--activation tanh",
    "simulate": f"{TRAINING}|--counts 3|--momenta 0.1|--head late|--frames 3|--fc 5|--dropout 0.1|--features raw"
    "|--compute 0.2|--std 0.5|--hosts 1|--hosts 1 --cores 1|--latency 0.05|--bandwidth 1e4|--message 0.05|--touch 1e-3"
    "|--wake 0.05|--apply 1e-4|--grow 1000|--cluster-seed 1"
    "|--shards 2|--fetch 3|--push 2|--rule adagrad|--warm-start-steps 3"
    "|--staleness 0|--ahead 1|--init POOLED|--differences|--standardise",
    "simulate late": "--dropout-mask frame",
    "simulate deaths": "--mtbf 2|--restart 0.1|--checkpoint-every 1",
    "simulate timed": "--seconds 0.16",
    "simulate lstm": "--forget-bias 0|--gain ones|--inference max|--units 5|--depth 1",
    "simulate rnn": "--activation tanh",
    "simulate videos": f"{PIXELS}|--size 40|--width 0.08|--norm lcn|--tower googlenet|--fold 2|--skip SKIP"
    "|--stream flow",
    "simulate flow": FLOW,
    "simulate heads": "--count 3|--dtype float16|--features-of SINGLE",
    "simulate googlenet": GOOGLENET.replace("|--tower-dropout 0.1", ""),
    "simulate missing": "--available",
}
# What changes nothing but time and memory, or belongs to a network but not to what is told of it
SAME = {
    "videos": "--workers 0|--workers 3|--memory 1", "check": "--workers 1", "features": "--workers 2",
    "flow cache": "--workers 2",
    "evaluate": "--batch 1",
    "summary": "--dropout 0.1", "scaling": "--dropout 0.1", "summary rnn": "--activation tanh",
    "summary googlenet": "--auxiliary 0.5|--tower-dropout 0.1",
    "scaling googlenet": "--tower-dropout 0.1", "simulate googlenet": "--tower-dropout 0.1",
    "summary lstm": "--forget-bias 0",
    "summary late": "--dropout-mask frame", "scaling late": "--dropout-mask frame",
}  # fmt: skip
ELSEWHERE = {
    "report --out --videos": "test_report.py::test_a_page_that_compares_runs",
    "demo --weights --videos --labels": "test_clips.py::test_what_is_said_of_a_clip_is_what_the_network_says",
    "demo --out --seed --quick": "test_demo.py::test_quick_demo",
    "make-data --seed --groups --clips --frames --side": (
        "test_mini.py::test_same_arguments_same_bytes_other_seed_other_clips"
    ),
    "train --preset": "test_presets.py::test_typed_options_count_more_than_the_preset",
    "train --weights": "test_presets.py::test_weights_from_elsewhere_become_the_tower",
    "train --heads --folds --draws --seeds": "test_presets.py::test_heads_are_compared",
    "train --split-by --regressions": "test_presets.py::test_videos_may_be_dealt_as_if_there_were_no_films",
    "real --weights --features --draws --folds --seeds --published --out --cache": "test_real.py::test_the_page",
    "import --stream --flow-fps --bound --tvl1": "test_weights.py::test_a_tower_for_flow",
    "flow-error --against --seeds --tvl1": "test_flow_truth.py::test_options_of_flow_error",
    "import --quiet": "test_weights.py::test_the_command_says_where_each_tensor_went",
    "compare --workers": "test_runner.py::test_commands_in_processes",
    "train --tune-lr --tune-weight-decay": "test_presets.py::test_one_network_is_tuned",
    "train --out --cache": "test_cli.py::test_train_writes_a_checkpoint_and_a_log",
    "train --resume": "test_loop.py::test_resumed_is_uninterrupted_bit_for_bit",
    "check-data flow features train --ray": (
        "test_ray_tasks.py::test_ray_processes_and_one_process_keep_the_same_bits"
    ),
    "train evaluate --view-starts": "test_options.py::test_views_at_random_starts",
    "compare tables claims --ray": "test_ray_tasks.py::test_experiments_are_the_same_on_ray",
    "train --downpour": "test_ray.py::test_the_command_line_trains_with_replicas",
    "check-data train simulate features flow --picture-fps": "test_pictures.py::test_the_rate_of_pictures_is_an_option",
    "evaluate --cache": "test_protocol.py::test_",
    "evaluate --features-of": "test_features_of_videos.py::test_heads_train_on_videos_by_features_of_a_tower",
    "evaluate --all": "test_predictions.py::test_all_videos_of_another_folder_are_tested",
    "predict --save": "test_predictions.py::test_predictions_for_other_programs",
    "evaluate --fold": "test_cli.py::test_evaluate_refuses_another_fold",
    "simulate --cache --out": "test_simulate.py::test_the_command_line_simulates_and_draws",
    "simulate --measure --real --address": "test_reported_training.py::test_times_measured_for_the_simulator",
    "simulate --price": "test_price.py::test_the_command_line_prices_every_job",
    "expand --out": "test_cli_heads.py::test_a_single_frame_network_is_expanded_step_by_step",
    "fuse --svm": "test_fusion.py::test_the_command",
    "features --cache": "test_cli.py::test_features_of_a_data_folder_train_a_head",
    "import --out --classes --keep-classifier --labels --variant --mean --scale --size": (
        "test_weights.py::test_the_command_says_where_each_tensor_went"
    ),
    "tables --measured": "test_reported_numbers.py::test_tables_of_the_small_scale",
    "tables --scale": "test_laptop.py::test_options_of_the_scales",
    "tables --price --hosts --bandwidth": "test_laptop.py::test_prices_add_up_what_was_measured",
    "tables --dry-run": "test_tables.py::test_dry_run_prints_every_command_and_runs_none",
    "claims --claims --ablations --seeds --out --quick": "test_claims.py::test_the_quick_lab_of_the_command_line",
    "claims --features": "test_claims.py::test_claims_are_run_judged_and_written",
    "compare --out": "test_claims.py::test_compare_trains_heads_over_seeds",
    "museum --only": "test_museum.py::test_the_command_shows_some_bugs",
    "bench --rows --against --repeat --json --clips --quick": "test_bench.py::test_every_row_is_measured",
    "demo claims train evaluate predict features flow bench --device": (
        "test_cuda_commands.py::test_experiments_pass_the_device_on"
    ),
}
