"""A plain transfer-learning script in the style of the well-known tutorials; it knows nothing of the product.

ImageFolder, Pillow transforms, a DataLoader with two workers, float32, every epoch decoded anew, SGD 0.001 with momentum
0.9, the rate a tenth after every 7 epochs, 4 images a step, the weights of the best validation epoch kept: in the end
their accuracy on the validation folder. One JSON line an epoch, `at_s` counted from the start of the process.
"""

import argparse
import copy
import json
import time

START = time.time() - time.process_time()  # the imports of this file are free of charge; those below are not

import torch  # noqa: E402
from torch import nn, optim  # noqa: E402
from torchvision import datasets, models, transforms  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("data", help="a folder with train/ and test/")
parser.add_argument("regime", choices=["feature_extraction", "partial", "full"])
parser.add_argument("--size", type=int, default=224)
parser.add_argument("--epochs", type=int, default=25)
parser.add_argument("--threads", type=int)
args = parser.parse_args()
if args.threads:
    torch.set_num_threads(args.threads)
torch.manual_seed(0)

normalize = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
data_transforms = {
    "train": transforms.Compose(
        [
            transforms.RandomResizedCrop(args.size),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            normalize,
        ]
    ),
    "test": transforms.Compose(
        [
            transforms.Resize(round(args.size * 256 / 224)),
            transforms.CenterCrop(args.size),
            transforms.ToTensor(),
            normalize,
        ]
    ),
}
image_datasets = {x: datasets.ImageFolder(f"{args.data}/{x}", data_transforms[x]) for x in ("train", "test")}
loaders = {
    x: torch.utils.data.DataLoader(image_datasets[x], batch_size=4, shuffle=True, num_workers=2)
    for x in ("train", "test")
}
classes = image_datasets["train"].classes

model = models.mobilenet_v2(weights="IMAGENET1K_V1")
if args.regime != "full":
    for param in model.parameters():
        param.requires_grad = False
if args.regime == "partial":
    for param in model.features[17:].parameters():
        param.requires_grad = True
model.classifier[1] = nn.Linear(model.last_channel, len(classes))
criterion = nn.CrossEntropyLoss()
optimizer = optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.001, momentum=0.9)
scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)

best_weights, best_accuracy = copy.deepcopy(model.state_dict()), 0.0
for epoch in range(args.epochs):
    epoch_scores = {"epoch": epoch}
    for phase in ("train", "test"):
        model.train(phase == "train")
        right, loss_sum = 0, 0.0
        for inputs, labels in loaders[phase]:
            optimizer.zero_grad()
            with torch.set_grad_enabled(phase == "train"):
                outputs = model(inputs)
                loss = criterion(outputs, labels)
                if phase == "train":
                    loss.backward()
                    optimizer.step()
            loss_sum += loss.item() * inputs.size(0)
            right += (outputs.argmax(1) == labels).sum().item()
        epoch_scores[phase] = right / len(image_datasets[phase])
    scheduler.step()
    if epoch_scores["test"] > best_accuracy:
        best_accuracy, best_weights = epoch_scores["test"], copy.deepcopy(model.state_dict())
    print(json.dumps({**epoch_scores, "best": best_accuracy, "at_s": time.time() - START}), flush=True)
model.load_state_dict(best_weights)
